"""The Python extension under AddressSanitizer, as Python's own tests use it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from c_support import ROOT, checked, need, run

PACKAGE = ROOT / "python" / "aiows"
# What the sanitizer knows nothing of: what it finds under gevent is greenlet's copying of
# stacks, and Python frees little at its end.
OPTIONS = "detect_leaks=0:halt_on_error=0"
# Each part of the extension, the calls of ssl between them, and threads that take turns.
TESTS = ["test_core_module.py", "test_sync_tls_context.py", "test_sync_callback.py"]


def sanitized(folder: Path, plant: tuple[str, str, str] | None = None) -> Path:
    """Return where a package of ours is whose extension is sanitized."""
    need("gcc")
    package = folder / "aiows"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__", "_core.*.so"))
    if plant is not None:
        name, what, fault = plant
        text = (package / "_core" / name).read_text()
        assert text.count(what) == 1
        (package / "_core" / name).write_text(text.replace(what, fault))
    checked(
        [
            "gcc",
            "-shared",
            "-fPIC",
            "-g",
            "-O1",
            "-std=c11",
            "-fno-omit-frame-pointer",
            "-fsanitize=address",
            "-fsanitize-recover=address",
            "-DPy_LIMITED_API=0x030b0000",
            f"-I{sysconfig.get_path('include')}",
            f"-I{ROOT / 'include'}",
            *sorted((package / "_core").glob("*.c")),
            "-o",
            package / "_core.abi3.so",
        ]
    )
    return folder


def under_python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python's tests with the package in folder."""
    preload = checked(["gcc", "-print-file-name=libasan.so"]).strip()
    environment = os.environ | {
        "LD_PRELOAD": preload,
        "PYTHONPATH": str(folder),
        "PYTHONMALLOC": "malloc",  # which the sanitizer sees through
        "ASAN_OPTIONS": f"{OPTIONS}:log_path={folder / 'report'}",
    }
    environment.pop("PYTEST_XDIST_WORKER", None)
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pytest.ini"), *arguments]
    return run(command, env=environment, cwd=ROOT)


def reports(folder: Path) -> str:
    return "".join(path.read_text() for path in folder.glob("report.*"))


def test_sanitizer_finds_nothing(tmp_path: Path) -> None:
    folder = sanitized(tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = run([sys.executable, "-c", "import aiows._core"], env=environment)
    assert "ASan runtime does not come first" in done.stderr  # it is this one that is imported
    files = [str(ROOT / "tests" / "python" / name) for name in TESTS]
    # Those that load libraries run programs of their own, which know of no sanitizer.
    # Those that load libraries run programs of their own, which know of no sanitizer, and the
    # greenlets of gevent have stacks that it takes for something else.
    done = under_python(folder, *files, "-k", "not test_load and not test_gevent")
    assert done.returncode == 0, done.stdout + done.stderr
    assert reports(folder) == ""


def test_planted(tmp_path: Path) -> None:
    """It finds what was made wrong on purpose."""
    fault = "carrying.c", "PyMem_Malloc(CARRY_PIECE)", "PyMem_Malloc(CARRY_PIECE - 16)"
    folder = sanitized(tmp_path, fault)
    under_python(folder, f"{ROOT / 'tests/python/test_sync_tls_context.py'}::test_floods")
    assert "heap-buffer-overflow" in reports(folder)

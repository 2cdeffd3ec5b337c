"""`pip install -e ./python`: the sources in place, as `make build` leaves them."""

from __future__ import annotations

import sys
from pathlib import Path

from support import ROOT, VERSION, make_venv, run


def test_make_build_left_an_editable_install(tmp_path: Path) -> None:
    assert (ROOT / "build" / "libaiows.so").read_bytes().startswith(b"\x7fELF")
    code = "import aiows, aiows._core as core; print(aiows.__file__, core.__file__)"
    files = run(sys.executable, "-c", code, cwd=tmp_path).stdout.split()
    assert [Path(file).parent for file in files] == [ROOT / "python" / "aiows"] * 2


def test_editable_install_from_scratch(tree: Path, tmp_path: Path) -> None:
    python = make_venv(tmp_path / "venv")
    options = ["-q", "--disable-pip-version-check"]
    run(python, "-m", "pip", "install", *options, "-e", tree / "python")
    code = "import aiows, aiows._library as l; print(aiows.__file__, l.version())"
    file, version = run(python, "-c", code, cwd=tmp_path).stdout.split()
    assert Path(file).parent == tree / "python" / "aiows"
    assert version == VERSION
    (tree / "python" / "aiows" / "added.py").write_text("ANSWER = 42\n")
    assert run(python, "-c", "import aiows.added as a; print(a.ANSWER)").stdout == "42\n"

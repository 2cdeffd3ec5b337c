"""The build steps that pyproject.toml cannot say: the Go library and the extension."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import ClassVar

from setuptools import Command, Extension, setup
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist

from aiows_build import find_go

HERE = Path(__file__).resolve().parent
# The repository's root; an unpacked sdist has everything in one folder.
ROOT = HERE if (HERE / "go.mod").is_file() else HERE.parent
LIBRARY = "libaiows.so"
NOTICE = "NOTICE"  # the licences of what the library contains that is not ours
MODULES = "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}\t{{.Dir}}{{end}}{{end}}"


def check_platform() -> None:
    """Refuse in one line what cannot work, before minutes of compiling."""
    if sys.platform != "linux":
        sys.exit(f"libaiows builds on Linux only, not on {sys.platform}")
    if "musl" in (sysconfig.get_config_var("HOST_GNU_TYPE") or ""):
        sys.exit(
            "libaiows needs glibc: Go's shared libraries do not load on musl (golang/go#54805)"
        )
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        sys.exit("libaiows does not support free-threaded builds of Python yet; use a regular one")


def notice(go: Path, environment: dict[str, str]) -> str:
    """Return the licence texts of Go and of every module that is linked in."""

    def answer(*arguments: str) -> str:
        command = [str(go), *arguments]
        return subprocess.run(
            command, check=True, env=environment, cwd=ROOT / "capi", capture_output=True, text=True
        ).stdout.strip()

    listed = answer("list", "-buildvcs=false", "-deps", "-f", MODULES, ".")
    modules = dict(line.split("\t") for line in sorted(set(listed.split("\n"))) if line)
    # Go's own is that of its authors' modules, and packages of Go may come without.
    go_authors = next(folder for name, folder in modules.items() if "golang.org/x/sys" in name)
    parts = {f"Go {answer('env', 'GOVERSION').removeprefix('go')}": go_authors, **modules}
    texts = [
        f"{name}\n\n{Path(folder, 'LICENSE').read_text().strip()}" for name, folder in parts.items()
    ]
    return f"\n\n{'-' * 72}\n\n".join(texts) + "\n"


class BuildLibrary(Command):
    """Build libaiows.so into the package with capi/build.sh."""

    description = "build the Go library"
    user_options: ClassVar[list[tuple[str, str | None, str]]] = []

    def initialize_options(self) -> None:
        self.build_lib: str | None = None
        self.editable_mode = False

    def finalize_options(self) -> None:
        self.set_undefined_options("build", ("build_lib", "build_lib"))

    def _target(self) -> Path:
        if self.editable_mode:
            return HERE / "aiows" / LIBRARY
        assert self.build_lib is not None
        return Path(self.build_lib, "aiows", LIBRARY).absolute()

    def run(self) -> None:
        check_platform()
        target = self._target()
        target.parent.mkdir(parents=True, exist_ok=True)
        go = find_go()
        environment = {
            **os.environ,
            "GO": str(go),
            "PATH": os.pathsep.join([str(go.parent), os.environ.get("PATH", os.defpath)]),
            "GOTOOLCHAIN": "local",
            "GOWORK": "off",
        }
        # In a folder of its own, as go leaves a header beside the library.
        built = Path(scratch, "library", LIBRARY)
        built.parent.mkdir(parents=True, exist_ok=True)
        # -buildvcs=false: these sources may lie inside of a foreign repository.
        command = ["sh", str(ROOT / "capi" / "build.sh"), str(built), "-buildvcs=false"]
        subprocess.run(command, check=True, env=environment)
        # Copied beside the target and renamed: a process may have the old one mapped.
        fresh = target.with_name(f".{LIBRARY}.new")
        shutil.copy(built, fresh)
        os.replace(fresh, target)
        target.with_name(NOTICE).write_text(notice(go, environment))

    def get_source_files(self) -> list[str]:
        return []  # the sdist below copies them: they are outside of this folder

    def get_outputs(self) -> list[str]:
        target = self._target()
        return [str(target), str(target.with_name(NOTICE))]

    def get_output_mapping(self) -> dict[str, str]:
        return {}


class Build(build):
    sub_commands: ClassVar = [*build.sub_commands, ("build_library", None)]


class BuildExtension(build_ext):
    def run(self) -> None:
        check_platform()
        super().run()


class SourceDistribution(sdist):
    """Add the Go module, which lies beside this folder, to the archive's root."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        for name in ("LICENSE", "README.md", "go.mod", "go.sum"):
            copy = Path(base_dir, name)
            copy.unlink(missing_ok=True)  # may be a link that leads out of the archive
            shutil.copyfile(ROOT / name, copy)
        for name in ("libws", "capi", "include"):
            shutil.copytree(ROOT / name, Path(base_dir, name), ignore=not_needed)


def not_needed(folder: str, names: list[str]) -> set[str]:
    """Return what of a folder is not needed to build: tests, outputs, editors' files."""
    return {
        name
        for name in names
        if name.endswith(("_test.go", ".so", ".o", ".a", "~"))
        or name in ("testdata", "__pycache__")
        or name.startswith(".")
    }


# Setuptools builds upon whatever an earlier build left in build/ and *.egg-info, deleted
# modules included; so each run works in a folder of its own.
scratch = tempfile.mkdtemp(prefix="libaiows-build-")
atexit.register(shutil.rmtree, scratch, ignore_errors=True)

# Headers of 3.12 and later leave out reference counts that 3.11 needs: what is built
# with them is tagged for them.
tag = f"cp3{sys.version_info.minor}"

setup(
    cmdclass={
        "build": Build,
        "build_ext": BuildExtension,
        "build_library": BuildLibrary,
        "sdist": SourceDistribution,
    },
    options={
        "build": {"build_base": scratch},
        "egg_info": {"egg_base": scratch},
        "bdist_wheel": {"py_limited_api": tag},
    },
    ext_modules=[
        Extension(
            "aiows._core",
            sources=sorted(
                str(path.relative_to(HERE))
                for pattern in ("_core*.c", "_core/*.c")
                for path in (HERE / "aiows").glob(pattern)
            ),
            include_dirs=[str(ROOT / "include")],
            define_macros=[("Py_LIMITED_API", "0x030b0000")],
            extra_compile_args=["-std=c11", "-O2", "-fvisibility=hidden", "-Wall", "-Wextra"],
            libraries=["dl"],
            py_limited_api=True,
        )
    ],
)

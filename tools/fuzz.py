"""Run the fuzz targets that tests/fuzz/targets.toml lists.

usage: fuzz.py run [--time 10m] [--workers N] [--record] [TARGET...]
       fuzz.py planted [--time 60s] [TARGET...]
       fuzz.py coverage [--least 95]

run fuzzes each target for a while, logs to build/fuzz and prints a table; --record
puts it into docs/fuzzing.md. planted builds each target with a fault in the code
under test, which its seeds alone must not meet and the fuzzer has to find. coverage
fails when the seeds reach less of a package than they should.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "fuzz"
RECORD = ROOT / "docs" / "fuzzing.md"
TABLE = re.compile(r"(?<=<!-- table -->\n).*?(?=<!-- end -->)", re.DOTALL)
PROGRESS = re.compile(r"execs: (\d+) .*new interesting: (\d+)")


@dataclass
class Target:
    """A fuzz target, the files it is about, and the fault that is planted in one of them."""

    name: str
    package: str
    files: list[str]
    file: str
    old: str
    new: str

    @property
    def folder(self) -> Path:
        return ROOT / self.package


def load(names: list[str]) -> tuple[list[Target], list[str]]:
    """Return the targets called names, or all, and the packages with covered seeds."""
    data = tomllib.loads((ROOT / "tests" / "fuzz" / "targets.toml").read_text())
    targets = [Target(name=name, **entry) for name, entry in data["target"].items()]
    listed = {(t.package, t.name) for t in targets}
    found = {
        (str(path.parent.relative_to(ROOT)), name)
        for path in (ROOT / "libws").rglob("*_test.go")
        for name in re.findall(r"^func (Fuzz\w+)\(f \*testing\.F\)", path.read_text(), re.M)
    }
    if listed != found:
        sys.exit(f"targets.toml and the packages differ in {sorted(listed ^ found)}")
    if unknown := set(names) - {t.name for t in targets}:
        sys.exit(f"no target {sorted(unknown)}, expected some of {[t.name for t in targets]}")
    return [t for t in targets if not names or t.name in names], data["covered"]


def go_build(package: str, binary: Path, *flags: str) -> None:
    command = ["go", "test", "-c", *flags, "-o", str(binary), f"./{package}"]
    subprocess.run(command, cwd=ROOT, check=True)


@contextmanager
def copied(package: str) -> Iterator[Path]:
    """Copy a package's folder, in which its tests find their data and leave what fails."""
    with tempfile.TemporaryDirectory(prefix="aiows-fuzz-") as name:
        folder = Path(name) / "package"
        shutil.copytree(ROOT / package, folder)
        yield folder


def fuzz(target: Target, binary: Path, folder: Path, corpus: Path, limit: str, workers: int) -> str:
    """Fuzz in folder and return the output; a failure ends it early."""
    command = [str(binary), "-test.run=^$", f"-test.fuzz=^{target.name}$"]
    command += [f"-test.fuzztime={limit}", "-test.fuzzminimizetime=100x"]
    command += [f"-test.fuzzcachedir={corpus}", f"-test.parallel={workers}"]
    done = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    # The fuzzer may fail for its own time being over.
    over = "    context deadline exceeded\n" in done.stdout and "Failing input" not in done.stdout
    return done.stdout + "passed\n" if over or not done.returncode else done.stdout


def passed(output: str) -> bool:
    return output.endswith("passed\n")


def seeds(
    target: Target, binary: Path, folder: Path, *flags: str
) -> subprocess.CompletedProcess[str]:
    """Run a target's seeds, which are those in folder's testdata too."""
    return subprocess.run(
        [str(binary), f"-test.run=^{target.name}$", *flags],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def coverage(target: Target, binary: Path, folder: Path) -> float:
    """Return how many percent of the statements of the target's files its seeds reach."""
    if (done := seeds(target, binary, folder, "-test.coverprofile=cover.out")).returncode:
        sys.exit(done.stdout)
    statements = reached = 0
    for line in (folder / "cover.out").read_text().splitlines()[1:]:
        path, size, count = re.split(r":[\d.,]+ | ", line)
        if path.removeprefix("aiows/" + target.package + "/") in target.files:
            statements += int(size)
            reached += int(size) * (count != "0")
    return 100 * reached / statements


def run(targets: list[Target], limit: str, workers: int, record: bool) -> int:
    BUILD.mkdir(parents=True, exist_ok=True)
    rows = ["| target | executions | new inputs | seeds reach | and with new inputs | date |"]
    rows += ["|---|---|---|---|---|---|"]
    failed = []
    for package in dict.fromkeys(t.package for t in targets):
        name = package.replace("/", "-")
        binary, covered = BUILD / f"{name}.fuzz", BUILD / f"{name}.cover"
        go_build(package, binary, "-fuzz=.")
        if record:
            go_build(package, covered, "-cover")
        for target in (t for t in targets if t.package == package):
            corpus = BUILD / "corpus" / name
            corpus.mkdir(parents=True, exist_ok=True)
            output = fuzz(target, binary, target.folder, corpus, limit, workers)
            (BUILD / f"{target.name}.log").write_text(output)
            progress = PROGRESS.findall(output)
            executions, new = map(int, progress[-1]) if progress else (0, 0)
            print(f"{target.name}: {executions} executions, {new} new inputs", flush=True)
            if not passed(output):
                failed.append(target.name)
                print(output)
            elif record:
                with copied(package) as folder:
                    alone = coverage(target, covered, folder)
                    kept = folder / "testdata" / "fuzz" / target.name
                    if (corpus / target.name).exists():
                        shutil.copytree(corpus / target.name, kept, dirs_exist_ok=True)
                    both = coverage(target, covered, folder)
                today = datetime.date.today().isoformat()
                files = ", ".join(f"`{f}`" for f in target.files)
                rows.append(
                    f"| `{target.name}`: {files} | {executions:,} | {new:,} "
                    f"| {alone:.1f} % | {both:.1f} % | {today} |"
                )
    if record and not failed:
        text = RECORD.read_text()
        recorded = dict(recorded_rows(text)) | dict(recorded_rows("\n".join(rows)))
        order = [recorded[t.name] for t in load([])[0] if t.name in recorded]
        table = "\n".join(rows[:2] + order) + "\n"
        RECORD.write_text(TABLE.sub(lambda _: table, text))
    return bool(failed)


def recorded_rows(text: str) -> list[tuple[str, str]]:
    """Return the rows of a table by target."""
    return [(name, row) for row, name in re.findall(r"^(\| `(\w+)`.*)$", text, re.M)]


def planted(targets: list[Target], limit: str) -> int:
    missed = 0
    for target in targets:
        with copied(target.package) as folder:
            source = ROOT / target.package / target.file
            text = source.read_text()
            if text.count(target.old) != 1:
                sys.exit(f"{target.name}: {target.file} holds {target.old!r} not just once")
            changed = folder.parent / "changed.go"
            changed.write_text(text.replace(target.old, target.new))
            overlay = folder.parent / "overlay.json"
            overlay.write_text(json.dumps({"Replace": {str(source.resolve()): str(changed)}}))
            binary = folder.parent / "planted"
            go_build(target.package, binary, "-fuzz=.", f"-overlay={overlay}")
            if (done := seeds(target, binary, folder)).returncode:
                print(f"{target.name}: the seeds alone meet the fault\n{done.stdout[:2000]}")
                missed += 1
                continue
            start = time.monotonic()
            output = fuzz(target, binary, folder, folder.parent / "corpus", limit, 2)
            if passed(output) or "Failing input written" not in output:
                print(f"{target.name}: not found within {limit}\n{output[-2000:]}")
                missed += 1
                continue
            took = time.monotonic() - start
            tried = PROGRESS.findall(output)
            executions = tried[-1][0] if tried else "few"
            print(f"{target.name}: found after {took:.0f} s, {executions} executions", flush=True)
    return bool(missed)


def check_coverage(packages: list[str], least: float) -> int:
    short = 0
    for package in packages:
        command = ["go", "test", "-run=^Fuzz", "-cover", f"./{package}"]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        found = re.search(r"coverage: ([\d.]+)% of statements", done.stdout)
        if done.returncode or not found:
            sys.exit(done.stdout)
        percent = float(found[1])
        print(f"{package}: the seeds reach {percent:.1f} % of the statements")
        if percent < least:
            print(f"{package}: expected {least:g} %")
            short += 1
    return bool(short)


def main() -> int:
    parser = argparse.ArgumentParser(usage="fuzz.py run|planted|coverage [ARGUMENTS]")
    parser.add_argument("verb", choices=["run", "planted", "coverage"])
    parser.add_argument("--time", default="")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--least", type=float, default=95)
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    a = parser.parse_intermixed_args()
    targets, covered = load(a.targets)
    if a.verb == "run":
        return run(targets, a.time or "10m", a.workers, a.record)
    if a.verb == "planted":
        return planted(targets, a.time or "60s")
    return check_coverage(covered, a.least)


if __name__ == "__main__":
    sys.exit(main())

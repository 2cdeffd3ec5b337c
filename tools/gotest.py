"""Run `go test` and show its lines, but fail on a skipped test when CI=true.

usage: gotest.py ARGUMENTS OF GO TEST...
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter, defaultdict


def main(arguments: list[str]) -> int:
    command = ["go", "test", "-json", *arguments]
    outputs: dict[tuple[str, str], list[str]] = defaultdict(list)
    counts: Counter[str] = Counter()
    skipped: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                print(line, end="", flush=True)
                continue
            show(event, outputs, counts, skipped)
    print(f"go test: {counts['pass']} passed, {counts['fail']} failed, {counts['skip']} skipped")
    for reason in skipped:
        print(f"skipped: {reason}")
    if skipped and os.environ.get("CI") == "true":
        print("CI=true forbids skipping")
        return 1
    return process.returncode


def show(
    event: dict[str, str],
    outputs: dict[tuple[str, str], list[str]],
    counts: Counter[str],
    skipped: list[str],
) -> None:
    """Print the lines of packages, and of a test once it failed; count its result."""
    action, package, test = event["Action"], event.get("Package", ""), event.get("Test", "")
    if action in ("build-output", "output"):
        text = event["Output"]
        if test:
            outputs[package, test].append(text)
        elif not text.startswith("PASS"):
            print(text, end="", flush=True)
        return
    if not test or action not in ("pass", "fail", "skip"):
        return
    lines = outputs.pop((package, test), [])
    counts[action] += 1
    if action == "fail":
        print("".join(lines), end="", flush=True)
    if action == "skip":
        reason = " ".join(line.strip() for line in lines if not line.startswith(("===", "---")))
        skipped.append(f"{package} {test}: {reason}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

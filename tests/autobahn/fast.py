"""
The fast runner, kosoku, as a process of its own.

usage: fast.py {client PORT | server} --out DIR [--messages N] [--cases PATTERN...]

As a client it runs the cases against the server at PORT; as a server it prints its port
and ends once a client asked for the report. DIR gets Autobahn's report.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import re
from collections.abc import Callable, Sequence
from typing import Any

import kosoku
from kosoku._caseindex import initialize_shims
from kosoku._report import write_reports

HOST = "127.0.0.1"
UNREDUCED = 1000  # messages in each case of compression
COMPRESSION_CASES = 216


def prepare(messages: int) -> None:
    """
    Say how many messages each case of compression has, for which kosoku has no option.

    And mend them: they hash what comes, which kosoku gives as bytes if it was compressed
    and else as str. A message that compression makes no shorter is sent as it is, as RFC
    7692 section 6 allows and wstest understands; there the case ended in a TypeError.
    """
    initialize_shims()
    module = importlib.import_module("case12_x_x")
    cases = [*module.Case12_X_X, *module.Case13_X_X]
    if len(cases) != COMPRESSION_CASES or {case.COUNT for case in cases} != {UNREDUCED}:
        raise SystemExit("kosoku's cases of compression are not those of version 0.1.0")
    for case in cases:
        case.COUNT = messages
        case.DESCRIPTION = re.sub(r"\b1000\b", str(messages), case.DESCRIPTION, count=1)
        case.onMessage = taking_str(case.onMessage)


def taking_str(on_message: Callable[[Any, bytes, bool], None]) -> Callable[..., None]:
    def wrapped(self: Any, message: bytes | str, binary: bool) -> None:
        if isinstance(message, str):
            message = message.encode("latin-1" if binary else "utf-8")
        on_message(self, message, binary)

    return wrapped


async def run_client(port: int, cases: Sequence[str] | None, at_once: int) -> list[object]:
    return await kosoku.run_fuzzingclient(f"{HOST}:{port}", cases, concurrency=at_once)


async def run_server(cases: Sequence[str] | None) -> list[object]:
    async with kosoku.run_fuzzingserver(cases, host=HOST, port=0) as server:
        print(server.port, flush=True)
        return await server.get_result()


def main() -> None:
    parser = argparse.ArgumentParser()
    roles = parser.add_subparsers(dest="role", required=True)
    client = roles.add_parser("client")
    client.add_argument("port", type=int)
    client.add_argument("--at-once", type=int, default=4, help="cases run side by side (4)")
    for role in (client, roles.add_parser("server")):
        role.add_argument("--out", required=True)
        role.add_argument("--messages", type=int, default=UNREDUCED)
        role.add_argument("--cases", nargs="*")
    arguments = parser.parse_args()
    prepare(arguments.messages)
    try:
        if arguments.role == "client":
            results = asyncio.run(run_client(arguments.port, arguments.cases, arguments.at_once))
        else:
            results = asyncio.run(run_server(arguments.cases))
    except kosoku.FailureError as failure:
        results = failure.results  # of all cases: the gate judges them
    write_reports(results, arguments.out)


main()

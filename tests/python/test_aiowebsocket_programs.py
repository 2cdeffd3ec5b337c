"""Programs written for aiowebsocket, with the import and the URI changed."""

from __future__ import annotations

import gzip
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from servers.fixtures import Certificates
from servers.launch import START_S, ServerProcess, read_line

# The README's program; {constructor} differs between its chapters.
PROGRAM = """
import asyncio
import logging
from datetime import datetime
{imports}


async def startup(uri, header):
    async with AioWebSocket({constructor}) as aws:
        converse = aws.manipulator
        message = b'AioWebSocket - Async WebSocket Client'
        while True:
            await converse.send(message)
            print('{{time}}-Client send: {{message}}'
                  .format(time=datetime.now().strftime('%Y-%m-%d %H:%M:%S'), message=message))
            mes = await converse.receive()
            print('{{time}}-Client receive: {{rec}}'
                  .format(time=datetime.now().strftime('%Y-%m-%d %H:%M:%S'), rec=mes), flush=True)
            await asyncio.sleep(0.05)


if __name__ == '__main__':
    remote = '{uri}'
    header = {header}
    try:
        asyncio.get_event_loop().run_until_complete(startup(remote, header))
    except KeyboardInterrupt as exc:
        print('Quit.')
"""

# Waits in receive, where the program above mostly sleeps.
WAITING = """
import asyncio
from aiows import AioWebSocket


async def startup(uri):
    async with AioWebSocket(uri) as aws:
        converse = aws.manipulator
        await converse.send(b'first')
        while True:
            print(await converse.receive(), flush=True)


try:
    {run}
except KeyboardInterrupt as exc:
    print('Quit.')
"""

RUN_UNTIL_COMPLETE = "asyncio.get_event_loop().run_until_complete(startup('{uri}'))"
RUN = "asyncio.run(startup('{uri}'))"
NEW_LOOP = "loop = asyncio.new_event_loop(); loop.run_until_complete(startup('{uri}'))"


def start(folder: Path, program: str, **environment: str) -> subprocess.Popen[str]:
    path = folder / "program.py"
    path.write_text(textwrap.dedent(program))
    # What the programs themselves do: get_event_loop with no loop, and a loop left open.
    ignored = ("There is no current event loop", "unclosed event loop")
    arguments = ["-W", "error", *(f"-Wignore:{text}" for text in ignored)]
    return subprocess.Popen(
        [sys.executable, *arguments, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONASYNCIODEBUG": "", **environment},
    )


def interrupt(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Send Ctrl-C and return what the program printed since."""
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    try:
        output, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    process.elapsed = time.monotonic() - started  # type: ignore[attr-defined]
    return output, errors


def lines(server: ServerProcess, *, host: bool) -> list[str]:
    fields = [
        "GET /ajaxchattest HTTP/1.1",
        "Connection: Upgrade",
        f"Host: 127.0.0.1:{server.port}",
        "Origin: http://coolaf.com",
        "Sec-WebSocket-Key: RmDgZzaqqvC4hGlWBsEmwQ==",
        "Sec-WebSocket-Version: 13",
        "Upgrade: websocket",
    ]
    return fields if host else [fields[0], fields[1], *fields[4:]]


@pytest.mark.parametrize(
    ("constructor", "header"),
    [
        ("uri", "None"),
        ("uri, headers=header", "LINES"),
        ("uri, union_header=header", "{'Origin': 'http://coolaf.com'}"),
    ],
)
@pytest.mark.parametrize(
    "imports",
    [
        "from aiows.converses import AioWebSocket",
        "from aiows import AioWebSocket",
        "from aiows import AioWebsocket\nfrom aiows.converses import AioWebSocket",
    ],
)
def test_readme(
    raw_server: ServerProcess, tmp_path: Path, imports: str, constructor: str, header: str
) -> None:
    if header == "LINES":
        header = repr(lines(raw_server, host=True))
    uri = raw_server.uri("/ajaxchattest")
    program = PROGRAM.format(imports=imports, constructor=constructor, uri=uri, header=header)
    with start(tmp_path, program) as process:
        for direction in ("send", "receive", "send", "receive"):
            expected = f"-Client {direction}: b'AioWebSocket - Async WebSocket Client'"
            assert expected in read_line(process, "20")
        output, errors = interrupt(process)
    assert output.endswith("Quit.\n") and errors == ""
    assert process.returncode == 0


def test_readme_over_tls(
    websockets_tls_server: ServerProcess, certificates: Certificates, tmp_path: Path
) -> None:
    program = PROGRAM.format(
        imports="from aiows.converses import AioWebSocket",
        constructor="uri, ssl=True",
        uri=websockets_tls_server.uri(),
        header=None,
    )
    with start(tmp_path, program, SSL_CERT_FILE=str(certificates.ca)) as process:
        for direction in ("send", "receive"):
            assert f"-Client {direction}: b'AioWebSocket" in read_line(process, "20")
        output, errors = interrupt(process)
    assert output.endswith("Quit.\n") and errors == ""
    assert process.returncode == 0


def test_readme_lines_without_host(raw_server: ServerProcess, tmp_path: Path) -> None:
    program = PROGRAM.format(
        imports="from aiows.converses import AioWebSocket",
        constructor="uri, headers=header",
        uri=raw_server.uri("/ajaxchattest"),
        header=lines(raw_server, host=False),
    ).replace(
        "import asyncio\n", "import asyncio\nimport warnings\nwarnings.simplefilter('default')\n"
    )
    with start(tmp_path, program) as process:
        assert "-Client send: b'AioWebSocket" in read_line(process, "20")
        assert "-Client receive: b'AioWebSocket" in read_line(process, "20")
        output, errors = interrupt(process)
    assert output.endswith("Quit.\n")
    assert errors.count("UserWarning: headers has no Host line") == 1
    assert process.returncode == 0


@pytest.mark.parametrize("run", [RUN_UNTIL_COMPLETE, RUN, NEW_LOOP])
def test_interrupt_in_receive(websockets_server: ServerProcess, tmp_path: Path, run: str) -> None:
    program = WAITING.format(run=run.format(uri=websockets_server.uri()))
    with start(tmp_path, program) as process:
        assert read_line(process, "b'first'")
        time.sleep(0.05)  # so that it waits again
        output, errors = interrupt(process)
    assert (output, errors, process.returncode) == ("Quit.\n", "", 0)
    assert process.elapsed < 30  # type: ignore[attr-defined]


def test_interrupt_with_a_server_that_does_not_answer(
    raw_server: ServerProcess, tmp_path: Path
) -> None:
    uri = raw_server.uri("/deaf")
    program = WAITING.format(run=RUN_UNTIL_COMPLETE.format(uri=uri)).replace(
        "await converse.send(b'first')", "print('open', flush=True)"
    )
    with start(tmp_path, program) as process:
        assert read_line(process, "open")
        time.sleep(0.05)
        output, errors = interrupt(process)
    assert (output, errors, process.returncode) == ("Quit.\n", "", 0)


def test_interrupt_while_opening(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(START_S)
        uri = f"ws://127.0.0.1:{silent.getsockname()[1]}/"
        with start(tmp_path, WAITING.format(run=RUN_UNTIL_COMPLETE.format(uri=uri))) as process:
            peer, _ = silent.accept()
            with peer:
                assert peer.recv(3) == b"GET"
                output, errors = interrupt(process)
    assert (output, errors, process.returncode) == ("Quit.\n", "", 0)


def test_interrupt_of_a_task_that_does_not_end(
    websockets_server: ServerProcess, tmp_path: Path
) -> None:
    program = WAITING.format(run=RUN_UNTIL_COMPLETE.format(uri=websockets_server.uri()))
    program = program.replace(
        "            print(await converse.receive(), flush=True)",
        """            try:
                print(await converse.receive(), flush=True)
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                await asyncio.sleep(3600)""",
    )
    with start(tmp_path, program) as process:
        assert read_line(process, "b'first'")
        output, errors = interrupt(process)
    assert (output, errors, process.returncode) == ("Quit.\n", "", 0)


def test_subscribe_and_decompress(websockets_server: ServerProcess, tmp_path: Path) -> None:
    packed = gzip.compress(b'{"tick": 1}')
    program = f"""
    import asyncio, gzip, json
    from aiows import AioWebSocket

    async def main():
        async with AioWebSocket(
            '{websockets_server.uri()}', union_header={{'Origin': 'https://host'}}
        ) as aws:
            converse = aws.manipulator
            await converse.send(json.dumps({{"sub": "market"}}))
            await converse.send(b'')
            await converse.send({packed!r})
            count = 0
            while count < 2:
                mes = await converse.receive()
                if not mes: continue
                print(gzip.decompress(mes) if mes[:2] == b'\\x1f\\x8b' else mes.decode())
                count += 1

    asyncio.run(main())
    """
    with start(tmp_path, program) as process:
        output, errors = process.communicate(timeout=60)
    assert output.splitlines() == ['{"sub": "market"}', "b'{\"tick\": 1}'"]
    assert (errors, process.returncode) == ("", 0)

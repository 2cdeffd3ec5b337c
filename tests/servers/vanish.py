"""
Run a client against a server that vanishes: no FIN, no RST, no answer any more.

usage: unshare --map-root-user --net python vanish.py COMMAND...

The server, of the websockets library, is in a network of its own, at the other end of
a cable (veth). COMMAND gets its URI as the last argument. When it prints "open" the
server's end of the cable is unplugged. Its output and exit status are passed on.
"""

from __future__ import annotations

import subprocess
import sys

SERVER = """
import asyncio, sys
from websockets.asyncio.server import serve

async def echo(ws):
    async for message in ws:
        await ws.send(message)

async def main():
    asyncio.get_running_loop().slow_callback_duration = 60  # no word about a busy machine
    print("here", flush=True)
    sys.stdin.readline()  # until there is a network
    async with serve(echo, "10.9.0.2", 8765, ping_interval=None):
        print("serving", flush=True)
        await asyncio.Future()

asyncio.run(main())
"""


def main(command: list[str]) -> int:
    server = subprocess.Popen(
        ["unshare", "--net", sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdin is not None and server.stdout is not None
        there = ("nsenter", "--net", f"--target={server.pid}")

        def ip(*arguments: str, prefix: tuple[str, ...] = ()) -> None:
            subprocess.run([*prefix, "ip", *arguments], check=True)

        assert server.stdout.readline() == "here\n"
        ip("link", "add", "name", "near", "type", "veth", "peer", "name", "far")
        ip("link", "set", "far", "netns", str(server.pid))
        ip("address", "add", "10.9.0.1/24", "dev", "near")
        ip("link", "set", "near", "up")
        ip("address", "add", "10.9.0.2/24", "dev", "far", prefix=there)
        ip("link", "set", "far", "up", prefix=there)
        server.stdin.write("\n")
        server.stdin.flush()
        assert server.stdout.readline() == "serving\n"
        with subprocess.Popen(
            [*command, "ws://10.9.0.2:8765/"], stdout=subprocess.PIPE, text=True
        ) as client:
            assert client.stdout is not None
            for line in client.stdout:
                if line == "open\n":
                    ip("link", "set", "far", "down", prefix=there)
                print(line, end="", flush=True)
        return client.returncode
    finally:
        server.kill()
        server.communicate()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""
A TLS end beside the fast runner, which speaks none.

usage: relay.py PORT {--cert FILE --key FILE | --ca FILE}

Prints a port and passes what comes to it on to PORT: with a certificate it takes TLS and
passes on plain TCP, with an authority the other way round. Ends with SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import ssl

HOST = "127.0.0.1"


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on all that comes and its end; TLS has no half-closed streams."""
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
            return
    writer.close()


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument("--ca")
    arguments = parser.parse_args()
    outside = inside = None
    if arguments.cert is not None:
        outside = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        outside.load_cert_chain(arguments.cert, arguments.key)
    else:
        inside = ssl.create_default_context(cafile=arguments.ca)

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(
                HOST, arguments.port, ssl=inside, server_hostname=HOST if inside else None
            )
        except OSError:
            writer.close()
            return
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
        far_writer.close()
        writer.close()

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = await asyncio.start_server(meet, HOST, 0, ssl=outside)
    print(server.sockets[0].getsockname()[1], flush=True)
    await stop.wait()
    server.close()


asyncio.run(main())

"""Show the pins of a server's certificate, or connect to that certificate alone."""

import asyncio
import hashlib
import ssl
import sys

from aiows import SSLContext, connect


async def main(uri: str, *pins: str) -> None:
    context = SSLContext()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the pin alone decides; without one nothing does
    context.pin_sha256(*pins)
    async with connect(uri, ssl=context) as ws:
        assert ws.peer_certificate is not None
        print(ws.tls_version, ws.tls_cipher_suite)
        print("certificate:", hashlib.sha256(ws.peer_certificate).hexdigest())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

"""Standard input and output that are no terminal."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator

from .connecting import UnsendableInput

_READ = 1 << 16


class Pipes:
    """Lines of standard input, messages to standard output, notes to standard error."""

    async def lines(self) -> AsyncIterator[str]:
        rest = b""
        number = 0
        chunks = _Chunks(asyncio.get_running_loop())
        while chunk := await chunks.next():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                number += 1
                yield _decode(line.removesuffix(b"\r"), number)
        if rest:
            yield _decode(rest, number + 1)

    async def write(self, data: bytes) -> None:
        # A reader that takes its time holds up this loop and so the server; the library
        # answers pings meanwhile.
        try:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            # What is left in the buffer would fail once more at the end of the process.
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, sys.stdout.fileno())
            os.close(null)
            raise

    def note(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    async def finish(self) -> None:
        pass


class _Chunks:
    """
    Reads a descriptor of any kind in a thread, a chunk ahead.

    asyncio watches no regular files. The thread uses os.read, as one that holds the
    lock of sys.stdin would end the process badly.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._wanted = threading.Semaphore(1)
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue()
        threading.Thread(target=self._read, name="aiows-input", daemon=True).start()

    async def next(self) -> bytes:
        chunk = await self._chunks.get()
        self._wanted.release()
        return chunk

    def _read(self) -> None:
        chunk = b"x"
        while chunk:
            self._wanted.acquire()
            try:
                chunk = os.read(0, _READ)
            except OSError:
                chunk = b""
            try:
                self._loop.call_soon_threadsafe(self._chunks.put_nowait, chunk)
            except RuntimeError:  # the loop is closed
                return


def _decode(line: bytes, number: int) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise UnsendableInput(
            f"line {number} of the input is not UTF-8 at byte {error.start + 1}, expected text"
        ) from None

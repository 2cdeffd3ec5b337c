"""``aiows connect``: one connection between a server and a terminal or pipes."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import math
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from typing import Any, Protocol

from ..client import ClientConnection, connect
from ..exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, WebSocketException
from . import Status
from .showing import FAULT, NOTE, Style, escaped

# Far above the library's default, as the output is not kept.
MAX_SIZE = 64 << 20
_IN_ORDER = (1000, 1001, 1005)
_BODY_SHOWN = 500
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Front(Protocol):
    """Where lines come from and messages go."""

    def lines(self) -> AsyncIterator[str]:
        """
        Yield what is to be sent, until the end of input.

        Raises:
            KeyboardInterrupt: Ctrl-C, where it is a key.
            UnsendableInput: A line that is no text.

        """
        ...

    async def write(self, data: bytes) -> None:
        """Write to standard output; BrokenPipeError when nobody reads it."""
        ...

    def note(self, text: str) -> None:
        """Tell the person something that is no message."""
        ...

    async def finish(self) -> None:
        """Wait until everything is written."""
        ...


class UnsendableInput(Exception):
    """A line of input cannot be sent as text."""


def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    if sys.stdin is None or sys.stdout is None:
        # Other files would get the free descriptors.
        print("aiows: standard input or output is closed, expected /dev/null", file=sys.stderr)
        return Status.NOT_OPENED
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    terminal = sys.stdout.isatty()
    style = Style(
        raw=options.raw,
        timings=options.timings,
        terminal=terminal,
        colours=terminal and not os.environ.get("NO_COLOR"),
    )
    front: Front
    if interactive:
        try:
            from .terminal import Terminal
        except ModuleNotFoundError as error:
            print(
                f"aiows: on a terminal this needs {error.name}: pip install 'libaiows[cli]'",
                file=sys.stderr,
            )
            return Status.NOT_OPENED
        front = Terminal(style)
    else:
        from .pipes import Pipes

        front = Pipes()
    if options.verbose:
        logger = logging.getLogger("aiows")
        logger.setLevel(logging.DEBUG)
        logger.addHandler(_NoteHandler(front))
    # Until the session takes them: an interrupt in between would leave a traceback.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    return asyncio.run(Session(options, style, front).run())


def connect_arguments(options: argparse.Namespace, terminal: bool) -> dict[str, Any]:
    """
    Return what connect is called with.

    Raises:
        OSError, ValueError: A file of certificates cannot be used.

    """
    arguments: dict[str, Any] = {
        "additional_headers": options.header,
        "origin": options.origin,
        "subprotocols": options.subprotocol or None,
        "max_size": MAX_SIZE,
    }
    if not terminal:
        # A connection that is paused while it closes drops what still arrives. Pipes need
        # no pause: who reads slowly blocks this loop, and so the reading.
        arguments["max_queue"] = None
    if options.proxy is not None:
        arguments["proxy"] = None if options.proxy == "none" else options.proxy
    if options.ping is not None:
        arguments["ping_interval"] = None
    if options.ca or options.cert or options.insecure:
        import ssl

        from ..tls import create_default_context

        context = create_default_context(cafile=options.ca)
        if options.cert:
            context.load_cert_chain(options.cert, options.key, password=_ask_password)
        if options.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        arguments["ssl"] = context
    return arguments


def _ask_password() -> str:
    import getpass

    return getpass.getpass("password of the key: ")


class Session:
    """The life of the connection, from opening to the exit status."""

    def __init__(self, options: argparse.Namespace, style: Style, front: Front) -> None:
        self._options = options
        self._style = style
        self._front = front
        self._opened_ns = 0
        self._heard = 0.0  # when the newest message was received
        self._status: int | None = None  # decided by this side
        self._closed: ConnectionClosed | None = None
        self._interrupted: asyncio.Future[int] | None = None

    async def run(self) -> int:
        try:
            return await self._run()
        finally:
            await self._front.finish()

    async def _run(self) -> int:
        loop = asyncio.get_running_loop()
        self._interrupted = loop.create_future()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._interrupt, number)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        try:
            ws = await self._open()
        except (OSError, ValueError, WebSocketException) as error:
            for line in _why_not_opened(error):
                self._note(line, FAULT)
            return Status.NOT_OPENED
        if ws is None:
            return self._exit_status(None)
        try:
            await self._exchange(ws)
        finally:
            await ws.close()
        self._tell_end(ws)
        return self._exit_status(ws)

    async def _open(self) -> ClientConnection | None:
        started = time.monotonic_ns()

        async def opening() -> ClientConnection:
            return await connect(
                self._options.uri, **connect_arguments(self._options, self._style.terminal)
            )

        task = asyncio.create_task(opening())
        await self._first_of(task)
        if not task.done():
            await _cancel(task)
            return None
        ws = task.result()
        self._opened_ns = time.monotonic_ns()
        if self._options.timings:
            self._note(f"opened in {(self._opened_ns - started) / 1e9:.6f} s")
        elif self._style.terminal:
            self._note(f"connected to {escaped(self._options.uri.rpartition('@')[2])}")
        return ws

    async def _exchange(self, ws: ClientConnection) -> None:
        receiving = asyncio.create_task(self._receive(ws))
        sending = asyncio.create_task(self._send(ws, receiving))
        pinging = asyncio.create_task(self._ping(ws))
        try:
            await self._first_of(receiving, sending)
            await _cancel(sending)
            closing = asyncio.create_task(ws.close())
            # Messages keep coming until the server has answered the closing. A second
            # interrupt does not wait for that.
            self._interrupted = asyncio.get_running_loop().create_future()
            await self._first_of(asyncio.gather(closing, receiving))
        finally:
            await _cancel(pinging)
            await _cancel(sending)
            await _cancel(receiving)

    async def _first_of(self, *tasks: asyncio.Future[Any]) -> None:
        assert self._interrupted is not None
        await asyncio.wait([*tasks, self._interrupted], return_when=asyncio.FIRST_COMPLETED)

    def _interrupt(self, number: signal.Signals) -> None:
        self._status = 128 + number
        if self._interrupted is not None and not self._interrupted.done():
            self._interrupted.set_result(number)

    async def _send(self, ws: ClientConnection, receiving: asyncio.Task[None]) -> None:
        try:
            with contextlib.suppress(ConnectionClosed):
                for message in self._options.text:
                    await ws.send(message)
                async for line in self._front.lines():
                    await ws.send(line)
        except KeyboardInterrupt:
            self._status = Status.INTERRUPTED
            return
        except UnsendableInput as error:
            self._status = Status.NOT_OPENED
            self._note(str(error), FAULT)
        await self._wait_for_silence(receiving)

    async def _wait_for_silence(self, receiving: asyncio.Task[None]) -> None:
        # A server that gets a Close may forget what it was about to answer.
        if math.isinf(self._options.eof_wait):
            await asyncio.wait([receiving])
        self._heard = time.monotonic()
        while not receiving.done():
            left = self._heard + self._options.eof_wait - time.monotonic()
            if left <= 0:
                return
            await asyncio.wait([receiving], timeout=left)

    async def _receive(self, ws: ClientConnection) -> None:
        try:
            while True:
                message = await ws.recv()
                self._heard = time.monotonic()
                elapsed = max(0, ws.received_at - self._opened_ns) / 1e9
                await self._front.write(self._style.message(message, elapsed))
        except ConnectionClosed as closed:
            self._closed = closed
        except BrokenPipeError:
            self._status = Status.PIPE_BROKEN

    async def _ping(self, ws: ClientConnection) -> None:
        if self._options.ping is None:
            return
        with contextlib.suppress(ConnectionClosed):
            while True:
                latency = await (await ws.ping())
                self._note(f"pong after {latency * 1e3:.3f} ms")
                await asyncio.sleep(self._options.ping)

    def _tell_end(self, ws: ClientConnection) -> None:
        in_order = ws.close_code in _IN_ORDER
        if in_order and not self._style.terminal:
            return
        why = str(self._closed) if self._closed is not None else f"closed with {ws.close_code}"
        self._note(f"connection closed: {escaped(why)}", NOTE if in_order else FAULT)

    def _exit_status(self, ws: ClientConnection | None) -> int:
        if self._status is not None or ws is None:
            return int(self._status or 0)
        if ws.close_code in _IN_ORDER:
            return Status.CLOSED
        return Status.LOST if ws.close_code == 1006 else Status.CLOSED_WITH_ERROR

    def _note(self, text: str, colour: str = NOTE) -> None:
        self._front.note(self._style.coloured(text, colour))


def _why_not_opened(error: Exception) -> list[str]:
    lines = [f"aiows: {escaped(str(error) or type(error).__name__)}"]
    cause = error.__cause__
    if cause is not None and str(cause) not in str(error):
        lines.append(f"because: {escaped(str(cause))}")
    if isinstance(error, InvalidHandshake):
        lines += [escaped(note) for note in getattr(error, "__notes__", ())]
    if isinstance(error, InvalidStatus) and error.response.body:
        body = bytes(error.response.body[:_BODY_SHOWN]).decode("utf-8", "replace")
        lines += ["> " + escaped(line) for line in body.splitlines()]
    return lines


async def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()


class _NoteHandler(logging.Handler):
    """Hands the library's log to the person who reads it."""

    def __init__(self, front: Front) -> None:
        super().__init__()
        self._front = front

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._front.note(escaped(self.format(record)))
        except Exception:
            self.handleError(record)

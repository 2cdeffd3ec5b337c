"""A terminal: a prompt that stays below what arrives, with a history."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

from prompt_toolkit import PromptSession
from prompt_toolkit.application import run_in_terminal
from prompt_toolkit.history import InMemoryHistory

from .showing import Style


class Terminal:
    """
    Lines are typed at a prompt, and messages are written above it.

    The history is that of this session: what is sent may be secret.
    """

    def __init__(self, style: Style) -> None:
        self._session: PromptSession[str] = PromptSession(history=InMemoryHistory())
        self._style = style
        self._notes: set[asyncio.Future[None]] = set()

    async def lines(self) -> AsyncIterator[str]:
        while True:
            try:
                line = await self._session.prompt_async("> ")
            except EOFError:
                return
            yield line

    async def write(self, data: bytes) -> None:
        def write() -> None:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()

        await run_in_terminal(write)

    def note(self, text: str) -> None:
        written = asyncio.ensure_future(self.write(f"{text}\n".encode()))
        self._notes.add(written)
        written.add_done_callback(self._notes.discard)

    async def finish(self) -> None:
        if self._notes:
            await asyncio.wait(self._notes)

"""aiows, both ways: on_message= with send_nowait, and await send with await recv."""

from __future__ import annotations

from typing import Any

import aiows
from exchange import PAYLOAD, Echoes, Job, Meter, call_back, main, ping_pong


class Listener(Echoes):
    def on_message(self, connection: Any, message: bytes) -> None:
        self.left -= 1
        if self.left:
            connection.send_nowait(PAYLOAD)
        else:
            self.done.set_result(message)


async def callback(job: Job, meter: Meter) -> None:
    pairs = []
    for _ in range(job.connections):
        listener = Listener()
        pairs.append((await aiows.connect(job.uri, on_message=listener.on_message), listener))
    await call_back(pairs, lambda connection: connection.send_nowait(PAYLOAD), job, meter)
    for connection, _ in pairs:
        await connection.close()


async def awaiting(job: Job, meter: Meter) -> None:
    await ping_pong(aiows.connect, job, meter)


if __name__ == "__main__":
    main("aiows", aiows.__version__, {"callback": callback, "await": awaiting})

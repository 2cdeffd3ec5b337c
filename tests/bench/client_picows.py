"""picows, both ways: WSListener's callback, and picows.websockets' send and recv."""

from __future__ import annotations

import picows
import picows.websockets
from picows import WSFrame, WSListener, WSMsgType, WSTransport

from exchange import PAYLOAD, Echoes, Job, Meter, call_back, main, ping_pong

BINARY = WSMsgType.BINARY


class Listener(Echoes, WSListener):  # type: ignore[misc]
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        # The application gets bytes that are its own, as from any other client here.
        message = frame.get_payload_as_bytes()
        self.left -= 1
        if self.left:
            transport.send(BINARY, PAYLOAD)
        else:
            self.done.set_result(message)


async def callback(job: Job, meter: Meter) -> None:
    pairs = [await picows.ws_connect(Listener, job.uri) for _ in range(job.connections)]
    await call_back(pairs, lambda transport: transport.send(BINARY, PAYLOAD), job, meter)
    for transport, _ in pairs:
        transport.disconnect()


async def awaiting(job: Job, meter: Meter) -> None:
    await ping_pong(lambda uri: picows.websockets.connect(uri, compression=None), job, meter)


if __name__ == "__main__":
    main("picows", picows.__version__, {"callback": callback, "await": awaiting})

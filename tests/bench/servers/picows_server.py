"""picows: the callbacks of WSListener; no handler waits."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import picows
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest

from serving import HOST, Options, main, port_of


class Echo(WSListener):  # type: ignore[misc]
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        else:
            transport.send(frame.msg_type, frame.get_payload_as_bytes())


def make(request: WSUpgradeRequest) -> WSListener:
    return Echo()


def serve(options: Options) -> AbstractAsyncContextManager[int]:
    return port_of(picows.ws_create_server(make, HOST, 0, ssl=options.python_ssl()))


if __name__ == "__main__":
    main("picows", picows.__version__, serve)

"""
The matrix of peers: which clients meet which servers, and what happens between them.

A cell is a client, a server, ws or wss, and the event loop of our side; aiows is
on at least one side. Messages are compressed in half of the cells of those that
can choose, in all of the browsers', in none of those that cannot. A scenario is
the same for every cell: a path of the server (tests/servers/README.md), steps for
the client (tests/clients/README.md), and what both sides see. What a library cannot
do stands beside it, with the reason; a scenario that needs it leaves the library out.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from clients.common import made, tell

LOOPS = ("asyncio", "uvloop")
SCHEMES = ("ws", "wss")
MIB = 1 << 20


@dataclasses.dataclass(frozen=True)
class Client:
    """A client library: its program below tests/clients, and what it cannot do."""

    name: str
    program: str
    lacks: dict[str, str] = dataclasses.field(default_factory=dict)
    # Runs with one Python only: what it brings does not depend on the Python.
    once: bool = True

    @property
    def ours(self) -> bool:
        return self.program == "aiows_client.py"


@dataclasses.dataclass(frozen=True)
class Server:
    """A server library: its program below tests/servers, and what it cannot do."""

    name: str
    program: str
    lacks: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def ours(self) -> bool:
        return self.program == "aiows_server"


_NO_FRAMES = "the WebSocket of browsers has no"
BROWSERS = ("node_client.js", "chromium_client.py")
BROWSER = {
    "fragments": f"{_NO_FRAMES} way to send a message in parts",
    "ping": f"{_NO_FRAMES} pings",
    "keepalive": f"{_NO_FRAMES} pings",
    "origin": f"{_NO_FRAMES} header fields to set",
    "status": f"{_NO_FRAMES} way to tell why opening failed",
    "code 1001": f"{_NO_FRAMES} close codes to send but 1000 and 3000 to 4999",
}
NO_COMPRESSION = "there is no permessage-deflate"
NO_CODE = "close sends a code always"

CLIENTS = (
    Client("aiows", "aiows_client.py", {"code 1005": NO_CODE}, once=False),
    Client("websockets", "websockets_client.py", once=False),
    Client(
        "aiohttp",
        "aiohttp_client.py",
        {
            "fragments": "there is no way to send a message in parts",
            "keepalive": "heartbeat gives up after half its interval, and tells of no pong",
        },
    ),
    Client(
        "picows",
        "picows_client.py",
        {
            "keepalive": "waiting for a pong cannot take longer than the interval",
            "compression": NO_COMPRESSION,
        },
    ),
    Client(
        "websocket-client",
        "websocket_client.py",
        {
            "keepalive": "only the callbacks of WebSocketApp ping",
            "compression": NO_COMPRESSION,
        },
    ),
    Client(
        "curl",
        "curl_client.py",
        {"keepalive": "libcurl pings only when told to", "compression": NO_COMPRESSION},
    ),
    Client("node", "node_client.js", BROWSER),
    Client(
        "chromium",
        "chromium_client.py",
        BROWSER | {"crowd": "many connections to one server are opened with delays"},
    ),
)

SERVERS = (
    Server("aiows", "aiows_server", {"code 1005": NO_CODE}),
    Server("websockets", "websockets_server"),
    Server(
        "aiohttp",
        "aiohttp_server",
        {
            "pings": "heartbeat gives up after half its interval, and tells of no pong",
            "answer": "a Close is answered with 1000, whatever its code",
            "reason": "the reason of the client's Close is not kept",
            "preference": "subprotocols go by the client's order",
        },
    ),
    Server(
        "picows",
        "picows_server",
        {
            "pings": "pings are set for a whole server, and no pong is told of",
            "compression": NO_COMPRESSION,
        },
    ),
)


@dataclasses.dataclass(frozen=True)
class Cell:
    """A client and a server that meet; loop is the event loop of our side or sides."""

    client: Client
    server: Server
    scheme: str
    loop: str

    def __str__(self) -> str:
        return f"{self.client.name}>{self.server.name}-{self.scheme}-{self.loop}"

    @property
    def once(self) -> bool:
        return self.client.once

    @property
    def compress(self) -> bool:
        """Whether the client is told to offer permessage-deflate; browsers always do."""
        return (self.scheme == "wss") == (self.loop == "asyncio")

    @property
    def compressed(self) -> bool:
        """Whether client and server agree on permessage-deflate."""
        if "compression" in self.client.lacks.keys() | self.server.lacks.keys():
            return False
        return self.compress or self.client.program in BROWSERS


CELLS = tuple(
    Cell(client, server, scheme, loop)
    for client, server in itertools.product(CLIENTS, SERVERS)
    if client.ours or server.ours
    for scheme, loop in itertools.product(SCHEMES, LOOPS)
)


@dataclasses.dataclass(frozen=True)
class Scenario:
    """
    What happens on a connection.

    Attributes:
        steps: What the client does.
        told: What it tells of that.
        path: Where it goes to.
        needs: What both libraries have to be able to do.
        sees: Close code and reason that the server sees in the end.
        options: More for the client's opening handshake.
        strict: The server insists on a subprotocol, and pings by itself.

    """

    name: str
    steps: list[list[Any]]
    told: list[str]
    path: str = "/echo"
    needs: tuple[str, ...] = ()
    sees: tuple[int, str] | None = None
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    strict: bool = False

    def fits(self, cell: Cell) -> bool:
        lacking = cell.client.lacks.keys() | cell.server.lacks.keys()
        return not lacking & set(self.needs)

    def told_by(self, cell: Cell) -> list[str]:
        told = self.told
        if self.sees is not None and "answer" in cell.server.lacks:
            told = [re.sub(r"^closed \d+$", "closed 1000", line) for line in told]
        if "status" in cell.client.lacks:
            told = [re.sub(r"^refused \d+$", "refused None", line) for line in told]
        agreed = "permessage-deflate" if cell.compressed else "None"
        return [line.replace(AGREED, f"extension {agreed}") for line in told]


AGREED = "extension as agreed"
MESSAGES = ("text:text", "text:", "binary:0", "text:ä € 😀 \x00 \uffff", "binary:257", "text:x")
# Where the length field or a buffer of either side changes its size.
SIZES = (1, 125, 126, 127, 4095, 4096, 16383, 16384, 65535, 65536, 262143, 262144, MIB)
BURST = 10_000
CLOSES = ((1000, ""), (1001, "bye é"), (3000, "r" * 123), (4999, "own"), (1005, ""))


ORIGIN = "https://example.com:8443"
PARTS = ("binary:200", "binary:70000", "binary:0")


def echoed(*specs: str) -> tuple[list[list[Any]], list[str]]:
    """Return the steps that send messages one by one, and what their echoes are told as."""
    steps = [step for spec in specs for step in (["send", spec], ["receive"])]
    return steps, [tell(made(spec)) for spec in specs]


def closes() -> Iterator[Scenario]:
    for code, reason in CLOSES:
        needs = (f"code {code}",)
        told = f"closed {code} {reason}".rstrip()
        yield Scenario(
            f"close-by-server-{code}",
            [["send", "text:close, please"], ["receive"]],
            [told],
            f"/close?code={code}&reason={quote(reason)}",
            needs=needs,
        )
        yield Scenario(
            f"close-by-client-{code}",
            [*echoed("text:before")[0], ["close", code, reason]],
            [*echoed("text:before")[1], f"closed {code}"],
            needs=needs,
            sees=(code, reason),
        )


SCENARIOS = (
    Scenario("messages", *echoed(*MESSAGES)),
    Scenario("sizes", *echoed(*(f"binary:{size}" for size in SIZES), "letters:50001")),
    Scenario(
        "extension",
        [["extension"], *echoed("letters:5000")[0]],
        [AGREED, *echoed("letters:5000")[1]],
        needs=("compression",),
    ),
    Scenario("16MiB", *echoed(f"binary:{16 * MIB}", "text:after")),
    Scenario(
        "messages-cross",
        [["send", f"binary:{10_000 * n}"] for n in range(20)] + [["receive"]] * 20,
        echoed(*(f"binary:{10_000 * n}" for n in range(20)))[1],
    ),
    Scenario(
        "fragments-from-server",
        [["receive"], ["receive"], *echoed("text:after")[0]],
        ["text fragmented é", *echoed("binary:256", "text:after")[1]],
        "/fragments",
    ),
    Scenario(
        "fragments-to-server",
        [
            ["fragments", "text:frag", "text:", "text:mented €"],
            ["receive"],
            ["fragments", *PARTS],
            ["receive"],
        ],
        ["text fragmented €", tell(b"".join(map(made, PARTS)))],
        needs=("fragments",),
    ),
    Scenario(
        "burst-from-server",
        [["burst", BURST], *echoed("text:after")[0]],
        [f"{BURST} in order", "text after"],
        f"/burst?n={BURST}&size=100",
    ),
    Scenario(
        "burst-to-server",
        [["collect", BURST, 100], ["receive"]],
        [f"text {BURST} in order"],
        f"/collect?n={BURST}",
    ),
    Scenario("ping-from-server", [["receive"]], ["text pong"], f"/ping?data={'abc' * 41}"),
    Scenario("empty-ping-from-server", [["receive"]], ["text pong"], "/ping"),
    Scenario(
        "ping-to-server",
        [["ping", ""], ["ping", "abc"], ["ping", "x" * 125], *echoed("text:after")[0]],
        ["pong", "pong", "pong", "text after"],
        needs=("ping",),
    ),
    Scenario(
        "keepalive-of-client",
        [["keepalive"], *echoed("text:after")[0]],
        ["alive", "text after"],
        needs=("keepalive",),
        options={"keepalive": True},
    ),
    Scenario(
        "subprotocol",
        [["subprotocol"], *echoed("text:after")[0]],
        ["subprotocol chat", "text after"],
        options={"subprotocols": ["other", "chat"]},
        strict=True,
    ),
    Scenario(
        "subprotocol-by-preference",
        [["subprotocol"]],
        ["subprotocol superchat"],
        needs=("preference",),
        options={"subprotocols": ["chat", "superchat"]},
        strict=True,
    ),
    Scenario(
        "keepalive-of-server",
        [["receive"], *echoed("text:after")[0]],
        ["text alive", "text after"],
        "/keepalive",
        needs=("pings",),
        options={"subprotocols": ["chat"]},
        strict=True,
    ),
    *(
        Scenario(f"refused-{code}", [], [f"refused {code}"], f"/status?code={code}")
        for code in (403, 404)
    ),
    Scenario(
        "origin",
        *echoed("text:after"),
        f"/origin?only={quote(ORIGIN)}",
        needs=("origin",),
        options={"origin": ORIGIN},
    ),
    Scenario(
        "origin-refused",
        [],
        ["refused 403"],
        f"/origin?only={quote(ORIGIN)}",
        needs=("origin",),
        options={"origin": "https://example.net"},
    ),
    Scenario("dropped", [["send", "text:drop it"], ["receive"]], ["closed 1006"], "/drop"),
    *closes(),
)

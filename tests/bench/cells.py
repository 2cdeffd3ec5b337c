"""What is measured: the cells, and who takes part in each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bars import BARS

BAR_CELLS = {bar.cell for bar in BARS}

# Nanoseconds a message takes, roughly, for whom: rounds are to last about as long for all.
# (for each message, for each KiB)
COSTS = {
    "aiows": (7000, 150),
    "picows": (7000, 150),
    "picows.websockets": (11000, 200),
    "websockets": (35000, 400),
    "aiohttp": (25000, 400),
    "websocket-client": (50000, 1500),
    "capi": (6000, 150),
    "floor": (5500, 100),
}
FLOOD_COSTS = {
    "aiows": (350, 300),
    "picows": (350, 300),
    "picows.websockets": (800, 300),
    "websockets": (8000, 500),
    "aiohttp": (2500, 500),
    "websocket-client": (9000, 1500),
}
JSON_COSTS = {
    "aiows": (20000, 15000),
    "picows.websockets": (35000, 40000),
    "websockets": (60000, 40000),
}
TLS_COST = (3000, 1500)


@dataclass(frozen=True)
class Cell:
    """One comparison: a scenario, and who is measured in it.

    Attributes:
        scenario: "echo", "flood", "json", "serve", "idle", "exchanged", "handshakes" or
            "import".
        size: Bytes of a message.
        connections: How many there are.
        api: "callback", "await", "iterate" (async for), "sync" (blocking calls), or "c" for
            a server in C.
        secure: wss.
        loop: "asyncio" or "uvloop".
        rivals: Who is measured against aiows in every round.
        others: Who is measured in a few rounds, for orientation.

    """

    scenario: str
    size: int = 256
    connections: int = 1
    api: str = "callback"
    secure: bool = False
    loop: str = "asyncio"
    rivals: tuple[str, ...] = ("picows",)
    others: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name that --only, the bars and the results use."""
        parts = {
            "echo": [str(self.size), str(self.connections), self.api],
            "flood": [str(self.size), self.api],
            "serve": [str(self.size), str(self.connections)],
            "json": [str(self.size)],
            "idle": [str(self.connections)],
            "exchanged": [str(self.connections)],
        }.get(self.scenario, [])
        if (self.scenario, self.api) in (("serve", "callback"), ("exchanged", "c")):
            parts.append(self.api)
        if self.secure:
            parts.append("wss")
        if self.loop != "asyncio":
            parts.append(self.loop)
        return "/".join([self.scenario, *parts])

    @property
    def judged(self) -> bool:
        """Whether a bar looks at it."""
        return self.name in BAR_CELLS

    @property
    def layout(self) -> str:
        """Where both ends run; README.md says why."""
        if self.scenario in ("flood", "handshakes", "import", "idle", "exchanged"):
            return "split"
        alone = self.scenario in ("echo", "json", "serve") and self.connections == 1
        return "shared" if alone else "free"

    @property
    def descriptors(self) -> int:
        """How many open files one process needs."""
        return self.connections + 200

    def messages(self, who: str, seconds: float) -> int:
        """Return about how many messages who exchanges in so many seconds of CPU."""
        costs = {"flood": FLOOD_COSTS, "json": JSON_COSTS}.get(self.scenario, COSTS)
        fixed, per_kib = costs[who]
        if self.secure:
            fixed += TLS_COST[0] if self.scenario != "flood" else 0
            per_kib += TLS_COST[1]
        return max(20, int(seconds * 1e9 / (fixed + per_kib * self.size / 1024)))


SLOW = ("websockets", "aiohttp")
EXCHANGED = 64 << 10  # bytes of each connection and direction before it is idle


def _clients() -> Iterator[Cell]:
    for loop in ("asyncio", "uvloop"):
        for connections in (1, 10, 200, 2000):
            blocking = ("websocket-client",) if (connections, loop) == (1, "asyncio") else ()
            c = ("capi", "floor") if loop == "asyncio" and connections <= 200 else ()
            for size in (256, 32, 65536) if loop == "asyncio" else (256,):
                basics = size == 256
                yield Cell("echo", size, connections, "callback", loop=loop, others=c * basics)
                yield Cell(
                    "echo",
                    size,
                    connections,
                    "await",
                    loop=loop,
                    rivals=("picows.websockets",),
                    others=(SLOW + blocking) * basics,
                )
    yield Cell("echo", 256, 1, "sync", rivals=("websocket-client",), others=("websockets",))
    yield Cell("echo", 256, 10, "iterate", rivals=("picows.websockets",), others=SLOW)
    for connections in (1, 10, 200):
        yield Cell("echo", 256, connections, "callback", secure=True)
        yield Cell(
            "echo",
            256,
            connections,
            "await",
            secure=True,
            rivals=("picows.websockets",),
            others=SLOW if connections == 10 else (),
        )
    yield Cell("echo", 65536, 10, "callback", secure=True)
    yield Cell("echo", 256, 10, "callback", secure=True, loop="uvloop")
    for size in (128, 8192, 1 << 20):
        for secure in (False, True):
            yield Cell("flood", size, 1, "callback", secure=secure)
            yield Cell(
                "flood",
                size,
                api="iterate",
                secure=secure,
                rivals=("picows", "picows.websockets"),
                others=() if secure else SLOW,
            )
        yield Cell(
            "flood",
            size,
            api="await",
            rivals=("picows.websockets",),
            others=("websocket-client",) if size == 128 else (),
        )
        yield Cell("flood", size, 1, "iterate", loop="uvloop", rivals=("picows.websockets",))


def _compressed() -> Iterator[Cell]:
    for size in (128, 1024, 16384):
        yield Cell(
            "json",
            size,
            api="await",
            rivals=("websockets",),
            others=("picows.websockets",),
        )
    everyone = ("picows.websockets", "websockets")
    yield Cell("exchanged", EXCHANGED, 2000, "iterate", rivals=(), others=everyone)
    yield Cell("exchanged", EXCHANGED, 2000, "c", rivals=())


def _servers() -> Iterator[Cell]:
    everyone = ("picows.websockets", *SLOW)
    for connections in (1, 20, 500):
        yield Cell("serve", 256, connections, "iterate", others=everyone)
    for connections in (20, 500):
        yield Cell("serve", 256, connections, "callback")
    yield Cell("serve", 256, 500, "iterate", loop="uvloop", others=("picows.websockets",))
    yield Cell("serve", 256, 20, "iterate", secure=True, others=("picows.websockets",))
    # Without a rival: the bar is a number of its own, and rounds of thousands are long.
    yield Cell("idle", 0, 5000, "iterate", rivals=(), others=("picows", *everyone))
    yield Cell("handshakes", 0, 3000, "iterate", others=everyone)
    yield Cell("handshakes", 0, 500, "iterate", secure=True, others=())
    yield Cell("import", 0, 0, "await", rivals=("picows",), others=SLOW)


def cells() -> list[Cell]:
    """Return every cell, those that bars judge first."""
    found = [*_clients(), *_compressed(), *_servers()]
    names = {cell.name for cell in found}
    assert len(names) == len(found), "two cells have one name"
    assert names >= BAR_CELLS, f"no cell for the bars of {BAR_CELLS - names}"
    return sorted(found, key=lambda cell: not cell.judged)

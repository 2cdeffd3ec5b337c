"""Tables of results, in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ratios import Middle
from results import Result, Results, Verdict

PERCENTILES = ("p50", "p90", "p99", "p99.9")


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def interval(found: Middle) -> str:
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def size(count: int) -> str:
    """Return a number of bytes for people."""
    for unit, bytes_ in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= bytes_:
            return f"{count / bytes_:g} {unit}"
    return f"{count} B"


def number(value: float) -> str:
    """Return three digits, without an exponent."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


API = {
    "callback": "callback",
    "await": "`await`",
    "iterate": "`async for`",
    "sync": "blocking",
    "c": "C",
}


def where(result: Result) -> str:
    """Return transport and loop."""
    return f"{'wss' if result.cell['secure'] else 'ws'}, {result.cell['loop']}"


def rest(result: Result, unit: str, what: str = "cpu_us") -> str:
    """Return what those cost who are there for orientation."""
    first = result.cell["rivals"][:1]
    shown = [
        f"{who} {number(result.middle(who, what))} {unit}"
        for who in result.rivals
        if who not in first
    ]
    return ", ".join(shown)


def compared(result: Result, unit: str, what: str = "cpu_us") -> list[str]:
    """Return the cells of a row: ours, theirs, the ratio, everyone else."""
    rival = result.rivals[0]
    return [
        f"{number(result.middle(result.subject, what))} {unit}",
        f"{rival} {number(result.middle(rival, what))} {unit}",
        interval(result.ratio(rival, what)),
        rest(result, unit, what),
    ]


def echoes(results: list[Result]) -> str:
    rows = [
        [
            size(one.cell["size"]),
            f"{one.cell['connections']:,}",
            API[one.cell["api"]],
            where(one),
            *compared(one, "us"),
        ]
        for one in results
    ]
    head = ["size", "connections", "API", "", "aiows", "rival", "aiows / rival", "others"]
    return table(head, rows)


def floods(results: list[Result]) -> str:
    rows = [
        [
            size(one.cell["size"]),
            API[one.cell["api"]],
            where(one),
            *compared(one, "us"),
            f"{number(one.middle(one.subject, 'mib_per_second'))} / "
            f"{number(one.middle(one.rivals[0], 'mib_per_second'))}",
        ]
        for one in results
    ]
    head = ["size", "API", "", "aiows", "rival", "aiows / rival", "others", "MiB/s, both"]
    return table(head, rows)


def servers(results: list[Result]) -> str:
    rows = [
        [
            f"echo, {size(one.cell['size'])}, {API[one.cell['api']]}"
            if one.cell["scenario"] == "serve"
            else "handshake",
            f"{one.cell['connections']:,}",
            where(one),
            *compared(one, "us"),
            f"{number(one.middle(one.subject, 'per_second'))} / "
            f"{number(one.middle(one.rivals[0], 'per_second'))}",
        ]
        for one in results
    ]
    head = ["", "connections", "", "aiows", "rival", "aiows / rival", "others", "a second, both"]
    return table(head, rows)


def latencies(results: list[Result]) -> str:
    rows = []
    for one in results:
        for who in (one.subject, one.rivals[0]):
            if found := one.latency(who):
                second = one.middle(who, "per_second")
                shown = [number(found[name]) for name in PERCENTILES]
                rows.append([f"`{one.name}`", who, *shown, f"{second:,.0f}"])
    return table(["cell", "", *PERCENTILES, "a second"], rows)


def compressed(results: list[Result]) -> str:
    rows = [
        [
            f"{number(one.middle(one.subject, 'message_bytes'))} B",
            who,
            f"{number(one.middle(who, 'cpu_us'))} us",
            interval(one.ratio(who, "cpu_us")) if who != one.subject else "",
            f"{number(one.middle(who, 'sent_bytes'))} B",
            interval(one.ratio(who, "sent_bytes")) if who != one.subject else "",
        ]
        for one in results
        for who in (one.subject, *one.rivals)
    ]
    return table(["JSON", "", "CPU", "aiows / it", "on the wire", "aiows / it"], rows)


def exchanged(results: list[Result]) -> str:
    rows = [
        [
            f"{one.cell['connections']:,} connections",
            f"{who}, C" if one.cell["api"] == "c" else who,
            f"{number(one.middle(who, 'connection_kib'))} KiB each",
        ]
        for one in results
        for who in (one.subject, *one.rivals)
    ]
    return table(["", "server", "resident memory"], rows)


def idles(results: list[Result]) -> str:
    rows = [
        [
            f"{one.cell['connections']:,} idle connections"
            if one.cell["scenario"] == "idle"
            else "import",
            who,
            f"{number(one.middle(who, 'connection_kib'))} KiB each"
            if one.cell["scenario"] == "idle"
            else f"{number(one.middle(who, 'grown_kib') / 1024)} MiB",
            f"{number(one.middle(who, 'cpu_us'))} us each"
            if one.cell["scenario"] == "idle"
            else f"{number(one.middle(who, 'cpu_us') / 1000)} ms",
        ]
        for one in results
        for who in (one.subject, *one.rivals)
    ]
    return table(["", "", "resident memory", "CPU"], rows)


# Heading, who goes there, what is made of them; plots by their names.
SECTIONS: list[tuple[str, str, Callable[[Result], bool], Callable[[list[Result]], str], list[str]]]
SECTIONS = [
    (
        "Clients: CPU per echo",
        "As many messages are under way as there are connections.",
        lambda one: one.cell["scenario"] == "echo",
        echoes,
        ["echo"],
    ),
    (
        "Clients: CPU per message of a flood",
        "One connection takes what a server sends as fast as it can.",
        lambda one: one.cell["scenario"] == "flood",
        floods,
        ["flood"],
    ),
    (
        "Servers: CPU per echo and per handshake",
        "The server is under test; the clients are gws.",
        lambda one: one.cell["scenario"] in ("serve", "handshakes"),
        servers,
        ["serve"],
    ),
    (
        "Compression: CPU per message and bytes on the wire",
        "A client sends distinct JSON messages, compressed, and gets each one back, compressed. "
        "Bytes are those of the messages it sent, with header and mask of each frame.",
        lambda one: one.cell["scenario"] == "json",
        compressed,
        ["compression"],
    ),
    (
        "Compression: memory of servers",
        "Growth of the process's resident memory for each connection that is idle after 64 KiB of "
        "compressed JSON went each way, context takeover both ways, 15-bit windows where the "
        "server does not ask for less.",
        lambda one: one.cell["scenario"] == "exchanged",
        exchanged,
        [],
    ),
    (
        "Memory and imports",
        "Growth of the process's resident memory, a handler waiting for each connection.",
        lambda one: one.cell["scenario"] in ("idle", "import"),
        idles,
        ["memory"],
    ),
    (
        "Latencies in microseconds, and throughput",
        "Of a round trip, and for handshakes of one handshake, under the load that the cell makes.",
        lambda one: one.cell["scenario"] in ("echo", "serve", "handshakes"),
        latencies,
        ["latency"],
    ),
]


def described(results: Results) -> str:
    """Return a paragraph on the machine and the versions."""
    machine = results.machine
    versions = ", ".join(
        f"{name} {version}"
        for name, version in machine["versions"].items()
        if name not in ("matplotlib", "libaiows")
    )
    return (
        f"Measured {machine['started'][:10]} in {machine['seconds'] / 60:.0f} minutes on "
        f"{machine['processors']} processors ({machine['processor']}), {machine['system']}, "
        f"Python {machine['python']}, {machine['go']}, libaiows {machine['versions']['libaiows']}, "
        f"against {versions}."
    )


def sections(results: Results) -> str:
    """Return everything that stands below "Results"."""
    parts = [described(results)]
    for title, note, belongs, make, plots in SECTIONS:
        chosen = sorted(filter(belongs, results.results), key=order)
        if chosen:
            parts += [f"### {title}", note]
            parts += [f"![{title}](bench/{name}.svg)" for name in plots]
            parts.append(make(chosen))
    return "\n\n".join(parts)


SCENARIOS = ["echo", "flood", "json", "serve", "handshakes", "exchanged", "idle", "import"]


def order(result: Result) -> tuple[object, ...]:
    """Return what tables are sorted by."""
    cell = result.cell
    apis = list(API)
    return (
        SCENARIOS.index(cell["scenario"]),
        cell["loop"],
        cell["secure"],
        (cell["size"] != 256, cell["size"]),
        apis.index(cell["api"]),
        cell["connections"],
    )


NUMBERS = {
    "cpu_us": "CPU, aiows / rival",
    "per_second": "rate, aiows / rival",
    "connection_kib": "KiB per connection",
    "sent_bytes": "bytes, aiows / rival",
}


def bars(results: Results) -> str:
    """Return the table of the bars."""
    rows = [bar_row(verdict) for verdict in results.verdicts]
    met = sum(verdict.met for verdict in results.verdicts)
    head = ["cell", "", "rival", "bar", "found", ""]
    return f"![bars](bench/bars.svg)\n\n{table(head, rows)}\n\n{met} of {len(rows)} are met."


def bar_row(verdict: Verdict) -> list[str]:
    bar = verdict.bar
    return [
        f"`{bar.cell}`",
        NUMBERS[bar.number],
        verdict.rival or "",
        f"{'at least' if bar.at_least else 'at most'} {bar.limit:g}",
        interval(verdict.found),
        "met" if verdict.met else "**missed**",
    ]


def summary(results: Results) -> str:
    """Return the README's part: what the bars judge, beside everyone."""
    rows = []
    judged = [
        (result, verdict)
        for result in sorted(results.results, key=order)
        for verdict in results.verdicts
        if verdict.bar.cell == result.name
    ]
    for result, verdict in judged:
        what = verdict.bar.number
        unit = UNITS[what]
        others = [who for who in result.rivals if who not in ("capi", "floor")]
        rows.append(
            [
                title(result) + (", on the wire" if what == "sent_bytes" else ""),
                f"**{number(result.middle(result.subject, what))} {unit}**",
                ", ".join(f"{who} {number(result.middle(who, what))}" for who in others),
                f"{interval(verdict.found)}" if verdict.rival else "",
            ]
        )
    picows = results.machine["versions"]["picows"]
    text = (
        "CPU of the whole process for each message, kernel and all threads included; memory and\n"
        "handshakes as it says. Beside it "
        f"picows {picows} (Cython), the fastest other Python library we know, and\n"
        "others. Rounds alternate, the other end was written by a third party (gws, Go); the last\n"
        "column is the median of the ratios that a bar judges, with its 95% interval.\n"
        "`make bench` measures all this and more; [docs/performance.md](docs/performance.md) has\n"
        "every number, latencies, and how to read them."
    )
    return f"{text}\n\n{table(['', 'aiows', 'others', 'aiows / rival'], rows)}"


UNITS = {"cpu_us": "us", "per_second": "/s", "connection_kib": "KiB", "sent_bytes": "B"}


def title(result: Result) -> str:
    """Return the words for a cell."""
    cell = result.cell
    secure = ", wss" if cell["secure"] else ""
    connections = f"{cell['connections']:,} connection{'s' * (cell['connections'] != 1)}"
    match cell["scenario"]:
        case "echo":
            return f"echo {size(cell['size'])}, {API[cell['api']]}, {connections}{secure}"
        case "flood":
            return f"flood of {size(cell['size'])}, {API[cell['api']]}{secure}"
        case "serve":
            return f"server, echo {size(cell['size'])}, {connections}{secure}"
        case "json":
            return f"JSON of {size(cell['size'])}, compressed, {API[cell['api']]}"
        case "exchanged":
            language = " in C" if cell["api"] == "c" else ""
            return f"server{language}, memory after 64 KiB compressed each way"
        case "idle":
            return "server, memory of an idle connection"
        case "handshakes":
            return f"server, handshakes per second{secure}"
        case other:
            return str(other)

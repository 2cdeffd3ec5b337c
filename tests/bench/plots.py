"""Plots of results, as SVG, the same bytes for the same results."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import Any

from processes import BUILD
from results import Result, Results
from tables import size

# Before matplotlib looks for its folder.
os.environ.setdefault("MPLCONFIGDIR", str(BUILD / "matplotlib"))

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

matplotlib.rcParams.update(
    {
        "svg.hashsalt": "aiows",
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "axes.grid": True,
        "axes.grid.axis": "y",
        "grid.alpha": 0.3,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "figure.constrained_layout.use": True,
    }
)

COLOURS = {
    "aiows": "#c2410c",
    "picows": "#1d4ed8",
    "picows.websockets": "#60a5fa",
    "websockets": "#15803d",
    "aiohttp": "#7e22ce",
    "websocket-client": "#a8a29e",
    "capi": "#fdba74",
    "floor": "#78716c",
}


def svg(figure: Figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def find(results: Results, **wanted: Any) -> list[Result]:
    return [
        one
        for one in results.results
        if all(one.cell[name] == value for name, value in wanted.items())
    ]


def logarithmic(axes: Any) -> None:
    """Make the y axis logarithmic, with numbers that people read."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:,g}")
    axes.minorticks_off()


def lines(axes: Any, found: list[Result], what: str, skip: tuple[str, ...] = ()) -> None:
    """Draw a number by connections, a line for everyone."""
    everyone = [who for who in COLOURS if who not in skip]
    for who in everyone:
        points = sorted(
            (one.cell["connections"], one.middle(who, what))
            for one in found
            if who in (one.subject, *one.rivals)
        )
        if points:
            axes.plot(*zip(*points, strict=True), "o-", color=COLOURS[who], label=who)
    axes.set_xscale("log")
    logarithmic(axes)
    ticks = sorted({one.cell["connections"] for one in found})
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("connections")
    axes.legend(fontsize="small", frameon=False)


def echo(results: Results) -> Figure:
    figure = Figure(figsize=(9, 4))
    left, right = figure.subplots(1, 2, sharey=True)
    shared = {"scenario": "echo", "size": 256, "secure": False, "loop": "asyncio"}
    lines(left, find(results, api="callback", **shared), "cpu_us")
    lines(right, find(results, api="await", **shared), "cpu_us")
    left.set_title("callback, 256 B")
    right.set_title("await, 256 B")
    left.set_ylabel("CPU per echo, us")
    return figure


def grouped(axes: Any, found: list[Result], what: str, scale: float = 1) -> None:
    """Draw a number by size, a bar for everyone."""
    everyone = [who for who in COLOURS if any(who in (one.subject, *one.rivals) for one in found)]
    width = 0.8 / max(1, len(everyone))
    for index, who in enumerate(everyone):
        places = [
            (at + (index - (len(everyone) - 1) / 2) * width, one.middle(who, what) / scale)
            for at, one in enumerate(found)
            if who in (one.subject, *one.rivals)
        ]
        axes.bar(*zip(*places, strict=True), width * 0.9, color=COLOURS[who], label=who)


def flood(results: Results) -> Figure:
    figure = Figure(figsize=(9, 4))
    axes = figure.subplots(1, 2)
    for one, secure in zip(axes, (False, True), strict=True):
        found = find(results, scenario="flood", api="iterate", secure=secure, loop="asyncio")
        found.sort(key=lambda result: result.cell["size"])
        grouped(one, found, "cpu_us")
        logarithmic(one)
        one.set_xticks(range(len(found)), [size(result.cell["size"]) for result in found])
        one.set_title(f"flood, async for (picows: callback), {'wss' if secure else 'ws'}")
        one.legend(fontsize="small", frameon=False)
    axes[0].set_ylabel("CPU per message, us")
    return figure


def serve(results: Results) -> Figure:
    figure = Figure(figsize=(9, 4))
    left, right = figure.subplots(1, 2)
    shared = {"secure": False, "loop": "asyncio"}
    lines(left, find(results, scenario="serve", api="iterate", **shared), "cpu_us")
    left.set_title("server, echo of 256 B")
    left.set_ylabel("CPU per echo, us")
    found = find(results, scenario="handshakes", **shared)
    bars_of(right, found, "per_second")
    right.set_title("server, handshakes per second")
    return figure


def bars_of(axes: Any, found: list[Result], what: str, scale: float = 1) -> None:
    """Draw a number of one cell, a bar for everyone."""
    for one in found:
        everyone = [who for who in COLOURS if who in (one.subject, *one.rivals)]
        values = [one.middle(who, what) / scale for who in everyone]
        drawn = axes.bar(everyone, values, color=[COLOURS[who] for who in everyone])
        axes.bar_label(
            drawn, [f"{value:,.0f}" if value > 99 else f"{value:.1f}" for value in values]
        )
        axes.tick_params(axis="x", labelrotation=20)


def compression(results: Results) -> Figure:
    figure = Figure(figsize=(9, 4))
    left, right = figure.subplots(1, 2)
    found = find(results, scenario="json")
    found.sort(key=lambda result: result.cell["size"])
    for axes, what in ((left, "cpu_us"), (right, "sent_bytes")):
        grouped(axes, found, what)
        logarithmic(axes)
        axes.set_xticks(range(len(found)), [size(result.cell["size"]) for result in found])
        if found:
            axes.legend(fontsize="small", frameon=False)
    left.set_title("compressed JSON, CPU per echo, us")
    right.set_title("bytes on the wire for a message sent")
    return figure


def memory(results: Results) -> Figure:
    figure = Figure(figsize=(9, 4))
    left, right = figure.subplots(1, 2)
    bars_of(left, find(results, scenario="idle"), "connection_kib")
    left.set_title("KiB for each idle server connection")
    bars_of(right, find(results, scenario="import"), "cpu_us", 1000)
    right.set_title("import, ms of CPU")
    return figure


def latency(results: Results) -> Figure:
    figure = Figure(figsize=(9, 4))
    axes = figure.subplots(1, 2)
    for one, connections in zip(axes, (1, 200), strict=True):
        found = find(
            results,
            scenario="echo",
            size=256,
            connections=connections,
            secure=False,
            loop="asyncio",
        )
        for result in sorted(found, key=lambda result: str(result.cell["api"])):
            for who in (result.subject, *result.rivals):
                if taken := result.latency(who):
                    style = "o-" if result.cell["api"] == "callback" else "o--"
                    label = f"{who}, {result.cell['api']}"
                    values = list(taken.values())
                    one.plot(list(taken), values, style, color=COLOURS[who], label=label)
        logarithmic(one)
        one.set_title(f"round trip of 256 B, {connections} connection{'s' * (connections > 1)}")
        if found:
            one.legend(fontsize="small", frameon=False)
    axes[0].set_ylabel("us")
    return figure


def bars(results: Results) -> Figure:
    verdicts = results.verdicts[::-1]
    figure = Figure(figsize=(9, 1 + 0.32 * len(verdicts)))
    axes = figure.subplots()
    for at, verdict in enumerate(verdicts):
        # Left of 1 is better, whatever the bar is.
        limit, found = verdict.bar.limit, verdict.found
        ends = [found.value / limit, found.low / limit, found.high / limit]
        if verdict.bar.at_least:
            ends = [1 / end for end in ends]
        colour = "#15803d" if verdict.met else "#b91c1c"
        axes.plot(sorted(ends[1:]), [at, at], "-", color=colour, linewidth=3, alpha=0.5)
        axes.plot(ends[0], at, "o", color=colour)
    axes.axvline(1, color="#44403c", linewidth=1)
    axes.set_yticks(
        range(len(verdicts)),
        [
            f"{one.bar.cell}{', bytes' * (one.bar.number == 'sent_bytes')}, {one.bar.limit:g}"
            for one in verdicts
        ],
        fontsize="small",
    )
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel("measured / bar, with its interval: met where it reaches 1 or less")
    return figure


PLOTS: dict[str, Callable[[Results], Figure]] = {
    "echo": echo,
    "flood": flood,
    "serve": serve,
    "compression": compression,
    "memory": memory,
    "latency": latency,
    "bars": bars,
}


def draw(results: Results) -> dict[str, str]:
    """Return every plot by the name of its file."""
    return {f"{name}.svg": svg(make(results)) for name, make in PLOTS.items()}

"""What an import costs, on top of asyncio and ssl: time, and memory that is resident."""

from __future__ import annotations

import json
import ssl  # noqa: F401
import sys
import time
from pathlib import Path


def rss_kib() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4


before = rss_kib()
wall, cpu = time.perf_counter(), time.process_time()
exec(sys.argv[1])
cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
after = rss_kib()
print(
    json.dumps(
        {
            "cpu_us": cpu * 1e6,
            "wall_us": wall * 1e6,
            "grown_kib": after - before,
            "rss_kib": after,
        }
    )
)

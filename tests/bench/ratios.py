"""Statistics of paired rounds."""

from __future__ import annotations

import random
from dataclasses import dataclass
from statistics import median

RESAMPLES = 4000


@dataclass(frozen=True)
class Ratio:
    """The median of the ratios of pairs, with a 95% bootstrap interval."""

    value: float
    low: float
    high: float


def ratio(subject: list[float], rival: list[float]) -> Ratio:
    """Return how many times the rival's number the subject's is.

    Rounds are compared pair by pair, since what else the machine does changes
    slowly: both rounds of a pair suffer alike.
    """
    if len(subject) != len(rival) or not subject:
        raise ValueError(f"{len(subject)} rounds against {len(rival)}, expected pairs")
    ratios = [ours / theirs for ours, theirs in zip(subject, rival, strict=True)]
    draw = random.Random(len(ratios))
    medians = sorted(median(draw.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES))
    return Ratio(
        median(ratios), medians[int(0.025 * RESAMPLES)], medians[int(0.975 * RESAMPLES) - 1]
    )

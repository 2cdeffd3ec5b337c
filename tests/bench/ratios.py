"""Medians and ratios of rounds, with their intervals."""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

RESAMPLES = 4000


@dataclass(frozen=True)
class Middle:
    """A median with its 95% bootstrap interval."""

    value: float
    low: float
    high: float


def middle(values: Sequence[float]) -> Middle:
    """Return the median of rounds. The draws are the same every time."""
    return _middle(tuple(values))


@functools.cache
def _middle(values: tuple[float, ...]) -> Middle:
    if not values:
        raise ValueError("no rounds, expected one at least")
    draw = random.Random(len(values))
    medians = sorted(median(draw.choices(values, k=len(values))) for _ in range(RESAMPLES))
    low, high = medians[int(0.025 * RESAMPLES)], medians[int(0.975 * RESAMPLES) - 1]
    return Middle(median(values), low, high)


def ratio(subject: list[float], rival: list[float]) -> Middle:
    """Return how many times the rival's number the subject's is.

    Rounds are compared pair by pair, since what else the machine does changes
    slowly: both rounds of a pair suffer alike.
    """
    if len(subject) != len(rival):
        raise ValueError(f"{len(subject)} rounds against {len(rival)}, expected pairs")
    return middle([ours / theirs for ours, theirs in zip(subject, rival, strict=True)])

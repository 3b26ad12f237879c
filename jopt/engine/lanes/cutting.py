"""Cuts the lanes of a sweep into blocks."""

from __future__ import annotations

import math

import numpy as np


def cut(settings: int, seeds: int, width: int, workers: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Blocks of at most ``width`` lanes: whole seeds together where they fit, else each seed's settings in equal parts.

    Equal parts keep to one executable: where they do not divide, a block is filled up by one lane at most.
    """
    if width >= settings:
        together = min(max(1, width // settings), math.ceil(seeds / min(workers, seeds)))
        return [(np.arange(settings), part) for part in _parts(seeds, together)]
    return [(part, np.array([seed])) for seed in range(seeds) for part in _parts(settings, width)]


def _parts(count: int, width: int) -> list[np.ndarray]:
    return np.array_split(np.arange(count), math.ceil(count / width))

"""How many lanes fit: bytes = a + b · width, read off compiled code, against what the device has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jopt.engine import machine

UNDOUBTED = 0.05  # a share of what a sweep may take that needs no look at compiled code


def widest(width: int, carry_bytes: int, devices: Sequence[Any], block_bytes: Callable[[int], float]) -> int:
    """The largest width up to ``width`` whose blocks, one per worker, fit on their device.

    ``block_bytes`` compiles a block of so many lanes and says what it takes.
    """
    sharing = sum(device == devices[0] for device in devices)
    allowed = machine.budget(devices[0]) / sharing
    if 4 * width * carry_bytes < UNDOUBTED * allowed or width == 1:
        return width
    small, large = 1, min(width, 4)
    at_small, at_large = block_bytes(small), block_bytes(large)
    per_lane = max((at_large - at_small) / (large - small), 1.0)
    fixed = at_small - per_lane * small
    return int(np.clip((allowed - fixed) / per_lane, 1, width))


def bytes_of(compiled: Any, estimate: float) -> float:
    """What compiled code takes while it runs: arguments, results and temporaries; an estimate where XLA does not say."""
    try:
        stats = compiled.memory_analysis()
        aliased = stats.alias_size_in_bytes
        return float(stats.argument_size_in_bytes + stats.output_size_in_bytes + stats.temp_size_in_bytes - aliased)
    except AttributeError:
        return estimate

"""How a sweep is carried out: block width, chunk length, kind of loop, workers."""

from __future__ import annotations

import dataclasses
from typing import Literal

from jopt.values import require
from jopt.values.numbers import whole


@dataclasses.dataclass(frozen=True)
class Plan:
    """How the lanes are run; ``None`` leaves a part to the planner.

    Args:
      width: Lanes in one compiled call, at least 1. Width 1 is not vmapped.
      chunk: The most steps between two returns to the host, at least 1.
      loop: "scan" loops the steps of a chunk in the compiled code, "host" calls a compiled step from Python.
      workers: Threads that run blocks side by side, at least 1: by default one per core or accelerator.
      reason: Why, in a sentence; the planner fills it in.

    Example:
      >>> print(jopt.Plan(width=8, loop="scan"))
      blocks of 8 lanes, steps looped by scan
    """

    width: int | None = None
    chunk: int | None = None
    loop: Literal["scan", "host"] | None = None
    workers: int | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        for name in ("width", "chunk", "workers"):
            value = getattr(self, name)
            if value is not None:
                whole(f"Plan: {name}", value)
        require.one_of("Plan: loop", self.loop, (None, "scan", "host"))
        require.text("Plan: reason", self.reason)

    def __str__(self) -> str:
        """The plan in a sentence."""
        parts = []
        if self.width is not None:
            parts.append(f"blocks of {self.width} lane{'s' if self.width > 1 else ''}")
        if self.loop is not None:
            parts.append(f"steps looped by {'scan' if self.loop == 'scan' else 'the host'}")
        if self.chunk is not None:
            parts.append(f"at most {self.chunk} steps a chunk")
        if self.workers is not None:
            parts.append(f"{self.workers} worker{'s' if self.workers > 1 else ''}")
        return ", ".join(parts) + (f": {self.reason}" if self.reason else "")

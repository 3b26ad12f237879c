"""The sweep: every setting and seed trained side by side, in one call."""

from jopt.sweeps.by_loss import sweep
from jopt.sweeps.by_step import sweep_steps

__all__ = ["sweep", "sweep_steps"]

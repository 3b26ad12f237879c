"""The sweep: every setting and seed trained side by side, in one call."""

from jopt.sweeps.by_loss import sweep
from jopt.sweeps.by_step import sweep_steps
from jopt.sweeps.checkpoint import Checkpoint
from jopt.sweeps.optuna_search import OptunaSearch
from jopt.sweeps.range_test import lr_range_test
from jopt.sweeps.slices import Slice

__all__ = ["Checkpoint", "OptunaSearch", "Slice", "lr_range_test", "sweep", "sweep_steps"]

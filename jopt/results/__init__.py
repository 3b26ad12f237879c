"""Results of sweeps: labelled arrays, the best setting, pictures, files, progress."""

from .groups import GroupedResult, check_group_names
from .progress import Progress
from .record import SweepRecord, Timings, check_names
from .result import SweepResult
from .storage import load_result
from .trial import Trial

__all__ = [
    "GroupedResult",
    "Progress",
    "SweepRecord",
    "SweepResult",
    "Timings",
    "Trial",
    "check_group_names",
    "check_names",
    "load_result",
]

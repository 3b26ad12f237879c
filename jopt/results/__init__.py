"""Results of sweeps: labelled arrays, the best setting, pictures, files, progress."""

from jopt.results.base import Result
from jopt.results.event import Event
from jopt.results.groups import GroupedResult
from jopt.results.inspecting import Inspection, inspect
from jopt.results.loading import load_result
from jopt.results.progress import Progress
from jopt.results.range_test import RangeTest
from jopt.results.record import SweepRecord, Timings
from jopt.results.result import SweepResult
from jopt.results.suggestion import Suggestion
from jopt.results.trial import Trial

__all__ = [
    "Event",
    "GroupedResult",
    "Inspection",
    "Progress",
    "RangeTest",
    "Result",
    "Suggestion",
    "SweepRecord",
    "SweepResult",
    "Timings",
    "Trial",
    "inspect",
    "load_result",
]

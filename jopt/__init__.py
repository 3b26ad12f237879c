"""jopt: optimizers that are values, and sweeps that are values with axes in them.

``jopt.sweep`` trains every setting of an optimizer with axes in it, side by side; ``jopt.catalogue()`` lists the
optimizers.

- Axes: ``geomspace``, ``linspace``, ``decades``, ``choice``, ``zipped``; drawn ones: ``loguniform``, ``uniform``.
- Sweeps: ``sweep``, ``sweep_steps`` for a training step of one's own, ``lr_range_test``; ``train`` and ``lanes``.
- Around an optimizer: ``accumulate``, ``apply_if_finite``, ``partition``, ``masked``, ``flatten``, ``hyperball``.
- Averages: ``tail_average``, ``parameter_ema``, ``schedule_free``.
- Narrow parameters: ``kahan``, ``master_weights``, ``stochastic_rounding``; narrow states: ``bfloat16_states``.
- Optax's factories, and one's own: ``lift``, ``transformation``, ``schedule``.
"""

# A public name is written once: optimizers and building blocks in the ``__init__`` of their rooms, the others here.

import types
import typing

from jopt import schedules as schedules
from jopt.axes import choice as choice
from jopt.axes import decades as decades
from jopt.axes import geomspace as geomspace
from jopt.axes import linspace as linspace
from jopt.axes import loguniform as loguniform
from jopt.axes import uniform as uniform
from jopt.axes import zipped as zipped
from jopt.expanding import groups as groups
from jopt.expanding import lanes as lanes
from jopt.lifting import lift as lift
from jopt.optimizers import *  # noqa: F403
from jopt.rates import learning_rate as learning_rate
from jopt.schedules import constant_schedule as constant_schedule
from jopt.schedules import cosine_decay_schedule as cosine_decay_schedule
from jopt.schedules import cosine_onecycle_schedule as cosine_onecycle_schedule
from jopt.schedules import cyclic_schedule as cyclic_schedule
from jopt.schedules import exponential_decay as exponential_decay
from jopt.schedules import inverse_sqrt_schedule as inverse_sqrt_schedule
from jopt.schedules import join_schedules as join_schedules
from jopt.schedules import linear_onecycle_schedule as linear_onecycle_schedule
from jopt.schedules import linear_schedule as linear_schedule
from jopt.schedules import natural_exp_decay as natural_exp_decay
from jopt.schedules import piecewise_constant_schedule as piecewise_constant_schedule
from jopt.schedules import polynomial_schedule as polynomial_schedule
from jopt.schedules import rex_schedule as rex_schedule
from jopt.schedules import sgdr_schedule as sgdr_schedule
from jopt.schedules import step_schedule as step_schedule
from jopt.schedules import warmup_cosine_decay_schedule as warmup_cosine_decay_schedule
from jopt.schedules import wsd_schedule as wsd_schedule
from jopt.training import train as train
from jopt.transformation import GradientTransformation as GradientTransformation
from jopt.transformation import transformation as transformation
from jopt.transforms import *  # noqa: F403
from jopt.values.applying import apply_updates as apply_updates
from jopt.values.leafwise import leafwise as leafwise
from jopt.values.leafwise import zeros_like as zeros_like
from jopt.values.numbers import Axis as Axis
from jopt.values.numbers import Numeric as Numeric
from jopt.values.numbers import ScalarOrSchedule as ScalarOrSchedule
from jopt.values.schedule import Schedule as Schedule
from jopt.values.schedule import schedule as schedule

if typing.TYPE_CHECKING:
    from jopt.choosing import catalogue as catalogue
    from jopt.deciding import EarlyStop as EarlyStop
    from jopt.deciding import Hyperband as Hyperband
    from jopt.deciding import MedianStop as MedianStop
    from jopt.deciding import Pruner as Pruner
    from jopt.deciding import Rung as Rung
    from jopt.deciding import SuccessiveHalving as SuccessiveHalving
    from jopt.deciding import TopFraction as TopFraction
    from jopt.engine.caching import enable_compilation_cache as enable_compilation_cache
    from jopt.engine.evaluation import metrics as metrics
    from jopt.engine.planning.plan import Plan as Plan
    from jopt.engine.running.on_ray.workers import RayWorkers as RayWorkers
    from jopt.results import Event as Event
    from jopt.results import GroupedResult as GroupedResult
    from jopt.results import Inspection as Inspection
    from jopt.results import RangeTest as RangeTest
    from jopt.results import Suggestion as Suggestion
    from jopt.results import SweepResult as SweepResult
    from jopt.results import Trial as Trial
    from jopt.results import inspect as inspect
    from jopt.results import load_result as load_result
    from jopt.results.plots.schedules import plot_schedule as plot_schedule
    from jopt.sweeps import Checkpoint as Checkpoint
    from jopt.sweeps import OptunaSearch as OptunaSearch
    from jopt.sweeps import Slice as Slice
    from jopt.sweeps import lr_range_test as lr_range_test
    from jopt.sweeps import sweep as sweep
    from jopt.sweeps import sweep_steps as sweep_steps

__version__ = "0.1.0"

# Imported when they are first used, so that whoever only wants an optimizer does not load the engine.
_LAZY = {
    "catalogue": "jopt.choosing",
    "Checkpoint": "jopt.sweeps",
    "EarlyStop": "jopt.deciding",
    "enable_compilation_cache": "jopt.engine.caching",
    "Event": "jopt.results",
    "GroupedResult": "jopt.results",
    "Hyperband": "jopt.deciding",
    "inspect": "jopt.results",
    "Inspection": "jopt.results",
    "load_result": "jopt.results",
    "lr_range_test": "jopt.sweeps",
    "MedianStop": "jopt.deciding",
    "metrics": "jopt.engine.evaluation",
    "OptunaSearch": "jopt.sweeps",
    "Plan": "jopt.engine.planning.plan",
    "plot_schedule": "jopt.results.plots.schedules",
    "Pruner": "jopt.deciding",
    "RangeTest": "jopt.results",
    "RayWorkers": "jopt.engine.running.on_ray.workers",
    "Rung": "jopt.deciding",
    "Slice": "jopt.sweeps",
    "SuccessiveHalving": "jopt.deciding",
    "Suggestion": "jopt.results",
    "sweep": "jopt.sweeps",
    "sweep_steps": "jopt.sweeps",
    "SweepResult": "jopt.results",
    "TopFraction": "jopt.deciding",
    "Trial": "jopt.results",
}


def _is_public(name: str, value: object) -> bool:
    return not name.startswith("_") and not isinstance(value, types.ModuleType)


if not typing.TYPE_CHECKING:  # checkers go by the lines above, and would take every name for one of jopt's
    __all__ = sorted({*_LAZY, *(name for name, value in globals().items() if _is_public(name, value))})

    def __getattr__(name: str) -> object:
        if name not in _LAZY:
            raise AttributeError(f"module 'jopt' has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(_LAZY[name]), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*__all__, "schedules", *(name for name in globals() if name.startswith("__"))})

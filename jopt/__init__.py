"""jopt: optimizers that are values, and sweeps that are values with axes in them."""

from typing import TYPE_CHECKING

from jopt import schedules as schedules
from jopt.axes import choice, decades, geomspace, linspace, loguniform, uniform, zipped
from jopt.expanding import groups, lanes
from jopt.lifting import lift
from jopt.optimizers import (
    adam,
    adamw,
    momentum,
    rmsprop,
    scale_by_adam,
    scale_by_rms,
    scale_by_stddev,
    sgd,
)
from jopt.schedules import (
    constant_schedule,
    cosine_decay_schedule,
    cosine_onecycle_schedule,
    cyclic_schedule,
    exponential_decay,
    inverse_sqrt_schedule,
    join_schedules,
    linear_onecycle_schedule,
    linear_schedule,
    natural_exp_decay,
    piecewise_constant_schedule,
    polynomial_schedule,
    rex_schedule,
    sgdr_schedule,
    step_schedule,
    warmup_cosine_decay_schedule,
    wsd_schedule,
)
from jopt.training import train
from jopt.transformation import GradientTransformation, apply_updates, transformation
from jopt.transforms import (
    add_decayed_weights,
    chain,
    clip,
    clip_by_global_norm,
    flatten,
    identity,
    named_chain,
    reduce_on_plateau,
    scale,
    scale_by_learning_rate,
    scale_by_schedule,
    trace,
)
from jopt.values.leafwise import leafwise, zeros_like
from jopt.values.numbers import Axis, Numeric, ScalarOrSchedule
from jopt.values.schedule import Schedule, schedule

if TYPE_CHECKING:
    from jopt.choosing import catalogue
    from jopt.engine.caching import enable_compilation_cache
    from jopt.engine.evaluation import metrics
    from jopt.engine.planning.plan import Plan
    from jopt.results import GroupedResult, SweepResult, Trial, load_result
    from jopt.results.plots.schedules import plot_schedule
    from jopt.sweeps import sweep, sweep_steps

__version__ = "0.1.0"

# Imported when they are first used, so that whoever only wants an optimizer does not load the engine.
_LAZY = {
    "GroupedResult": "jopt.results",
    "Plan": "jopt.engine.planning.plan",
    "catalogue": "jopt.choosing",
    "enable_compilation_cache": "jopt.engine.caching",
    "SweepResult": "jopt.results",
    "Trial": "jopt.results",
    "load_result": "jopt.results",
    "metrics": "jopt.engine.evaluation",
    "plot_schedule": "jopt.results.plots.schedules",
    "sweep": "jopt.sweeps",
    "sweep_steps": "jopt.sweeps",
}


if not TYPE_CHECKING:  # checkers would take every name for one of jopt's

    def __getattr__(name: str) -> object:
        if name not in _LAZY:
            raise AttributeError(f"module 'jopt' has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(_LAZY[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*__all__, "schedules", *(name for name in globals() if name.startswith("__"))})


__all__ = [
    "Axis",
    "GradientTransformation",
    "GroupedResult",
    "Numeric",
    "Plan",
    "ScalarOrSchedule",
    "Schedule",
    "SweepResult",
    "Trial",
    "adam",
    "adamw",
    "add_decayed_weights",
    "apply_updates",
    "catalogue",
    "chain",
    "choice",
    "clip",
    "clip_by_global_norm",
    "constant_schedule",
    "cosine_decay_schedule",
    "cosine_onecycle_schedule",
    "cyclic_schedule",
    "decades",
    "enable_compilation_cache",
    "exponential_decay",
    "flatten",
    "geomspace",
    "groups",
    "identity",
    "inverse_sqrt_schedule",
    "join_schedules",
    "lanes",
    "leafwise",
    "lift",
    "linear_onecycle_schedule",
    "linear_schedule",
    "linspace",
    "load_result",
    "loguniform",
    "metrics",
    "momentum",
    "named_chain",
    "natural_exp_decay",
    "piecewise_constant_schedule",
    "plot_schedule",
    "polynomial_schedule",
    "reduce_on_plateau",
    "rex_schedule",
    "rmsprop",
    "scale",
    "scale_by_adam",
    "scale_by_learning_rate",
    "scale_by_rms",
    "scale_by_schedule",
    "scale_by_stddev",
    "schedule",
    "sgd",
    "sgdr_schedule",
    "step_schedule",
    "sweep",
    "sweep_steps",
    "trace",
    "train",
    "transformation",
    "uniform",
    "warmup_cosine_decay_schedule",
    "wsd_schedule",
    "zeros_like",
    "zipped",
]

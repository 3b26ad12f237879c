"""Schedules: functions of the step that are values, so that their own numbers can be swept.

A schedule stands wherever a hyperparameter stands. ``t`` is the number of updates made before this one, so the first
update uses the value at ``t = 0``, as in Optax. Step counts are numbers like any other: they may be swept, traced and
fractional. Whole ones are compared and subtracted as integers, exactly up to int32. (A whole number above 2**24 stays an
integer leaf, of which JAX takes no derivative; give it as a float for that.)
"""

from jopt.schedules.cycles import cyclic_schedule, sgdr_schedule
from jopt.schedules.decays import (
    constant_schedule,
    cosine_decay_schedule,
    exponential_decay,
    linear_schedule,
    natural_exp_decay,
    polynomial_schedule,
    rex_schedule,
    step_schedule,
)
from jopt.schedules.phases import (
    cosine_onecycle_schedule,
    inverse_sqrt_schedule,
    linear_onecycle_schedule,
    wsd_schedule,
)
from jopt.schedules.pieces import join_schedules, piecewise_constant_schedule, warmup_cosine_decay_schedule
from jopt.schedules.time import as_time
from jopt.values.schedule import Schedule, schedule

__all__ = [
    "Schedule",
    "as_time",
    "constant_schedule",
    "cosine_decay_schedule",
    "cosine_onecycle_schedule",
    "cyclic_schedule",
    "exponential_decay",
    "inverse_sqrt_schedule",
    "join_schedules",
    "linear_onecycle_schedule",
    "linear_schedule",
    "natural_exp_decay",
    "piecewise_constant_schedule",
    "polynomial_schedule",
    "rex_schedule",
    "schedule",
    "sgdr_schedule",
    "step_schedule",
    "warmup_cosine_decay_schedule",
    "wsd_schedule",
]

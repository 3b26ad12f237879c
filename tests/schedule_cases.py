"""Every schedule, with several settings of each: its part of the table of cases."""

from __future__ import annotations

import dataclasses
import types
from typing import Any

import optax

import jopt
from tests import (
    modern_reference,
    muon_reference,
    precision_reference,
    reference,
    schedule_reference,
    soap_reference,
    winners_reference,
)


def convert(value: Any, kind: str, number: Any = lambda x: x) -> Any:
    """An argument of the table as ``kind`` ("jopt", "optax" or "reference") takes it, its numbers through ``number``."""
    if isinstance(value, ScheduleCase):
        # jopt's schedule inside Optax's rule: Optax's own compute in float32 under x64, and are compared on their own.
        return value.make("reference" if kind == "reference" else "jopt", number)
    if isinstance(value, dict):
        return {k: convert(v, kind, number) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(convert(v, kind, number) for v in value)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number(value) if is_number else value


_PAGES = (
    precision_reference,
    winners_reference,
    soap_reference,
    muon_reference,
    schedule_reference,
    modern_reference,
    reference,
)
LOOPS = types.SimpleNamespace(**{name: loop for page in _PAGES for name, loop in vars(page).items()})
ROOMS = {"jopt": jopt, "optax": optax, "reference": LOOPS}


@dataclasses.dataclass(frozen=True, eq=False)
class ScheduleCase:
    """A schedule: the factory's name, its arguments, and whether Optax has it."""

    name: str
    factory: str
    kwargs: dict[str, Any]
    in_optax: bool = True

    def make(self, kind: str = "jopt", number: Any = lambda x: x) -> Any:
        """The value, or Optax's schedule, or the NumPy function of the step, its numbers through ``number``."""
        kwargs = convert(self.kwargs, kind, number)
        if kind == "optax" and "schedules" in kwargs:
            kwargs["schedules"] = [s.make("optax") for s in self.kwargs["schedules"]]
        return getattr(ROOMS[kind], self.factory)(**kwargs)


def _schedule(name: str, factory: str, in_optax: bool = True, **kwargs: Any) -> ScheduleCase:
    return ScheduleCase(name, factory, kwargs, in_optax)


SCHEDULES = [
    _schedule("constant", "constant_schedule", value=0.3),
    _schedule("natural_exp", "natural_exp_decay", False, init_value=0.1, decay_rate=3e-3),
    _schedule("exponential", "exponential_decay", init_value=0.1, transition_steps=70, decay_rate=0.8),
    _schedule(
        "exponential_staircase_from_40_to_an_end",
        "exponential_decay",
        init_value=0.1,
        transition_steps=50,
        decay_rate=0.7,
        transition_begin=40,
        staircase=True,
        end_value=0.01,
    ),
    _schedule(
        "exponential_growth_to_an_end",
        "exponential_decay",
        init_value=1e-3,
        transition_steps=100,
        decay_rate=1.5,
        end_value=0.5,
    ),
    _schedule("linear", "linear_schedule", init_value=0.0, end_value=0.1, transition_steps=300),
    _schedule(
        "linear_from_100",
        "linear_schedule",
        init_value=0.2,
        end_value=0.1,
        transition_steps=300,
        transition_begin=100,
    ),
    _schedule(
        "linear_without_steps",
        "linear_schedule",
        init_value=0.2,
        end_value=0.1,
        transition_steps=0,
    ),
    _schedule(
        "polynomial",
        "polynomial_schedule",
        init_value=0.1,
        end_value=0.01,
        power=2.0,
        transition_steps=500,
        transition_begin=50,
    ),
    _schedule(
        "polynomial_root",
        "polynomial_schedule",
        init_value=0.1,
        end_value=0.0,
        power=0.5,
        transition_steps=500,
    ),
    _schedule("cosine", "cosine_decay_schedule", init_value=0.1, decay_steps=900),
    _schedule(
        "cosine_to_an_end",
        "cosine_decay_schedule",
        init_value=0.1,
        decay_steps=900,
        alpha=0.1,
        exponent=2.0,
    ),
    _schedule(
        "warmup_cosine",
        "warmup_cosine_decay_schedule",
        init_value=0.0,
        peak_value=0.1,
        warmup_steps=100,
        decay_steps=1500,
        end_value=1e-3,
    ),
    _schedule(
        "cosine_without_warmup",
        "warmup_cosine_decay_schedule",
        init_value=0.0,
        peak_value=0.1,
        warmup_steps=0,
        decay_steps=1500,
        exponent=1.5,
    ),
    _schedule(
        "piecewise",
        "piecewise_constant_schedule",
        init_value=0.1,
        boundaries_and_scales={3: 0.1, 100: 0.5, 700: 3.0},
    ),
    _schedule("piecewise_without_pieces", "piecewise_constant_schedule", init_value=0.1),
    _schedule(
        "sgdr",
        "sgdr_schedule",
        cosine_kwargs=[
            {"init_value": 0.1, "peak_value": 0.1, "warmup_steps": 0, "decay_steps": 300},
            {"init_value": 0.0, "peak_value": 0.08, "warmup_steps": 50, "decay_steps": 600, "end_value": 0.01},
            {"init_value": 0.01, "peak_value": 0.04, "warmup_steps": 20, "decay_steps": 900, "exponent": 2.0},
        ],
    ),
    # 0.3 and 0.85 of 1111 are no whole numbers, at which a derivative would jump.
    _schedule("cosine_onecycle", "cosine_onecycle_schedule", transition_steps=1111, peak_value=0.1),
    _schedule(
        "cosine_onecycle_other_numbers",
        "cosine_onecycle_schedule",
        transition_steps=1801,
        peak_value=0.1,
        pct_start=0.45,
        div_factor=3.0,
        final_div_factor=20.0,
    ),
    _schedule("linear_onecycle", "linear_onecycle_schedule", transition_steps=1111, peak_value=0.1),
    _schedule(
        "linear_onecycle_other_numbers",
        "linear_onecycle_schedule",
        transition_steps=1801,
        peak_value=0.1,
        pct_start=0.015,
        pct_final=0.65,
        div_factor=3.0,
        final_div_factor=0.5,
    ),
    _schedule(
        "wsd", "wsd_schedule", False, init_value=0.0, peak_value=0.1, warmup_steps=50, stable_steps=1000, decay_steps=400
    ),
    _schedule(
        "wsd_cosine",
        "wsd_schedule",
        False,
        init_value=0.01,
        peak_value=0.1,
        warmup_steps=100,
        stable_steps=0,
        decay_steps=400,
        end_value=0.02,
        shape="cosine",
    ),
    _schedule(
        "wsd_root_without_warmup",
        "wsd_schedule",
        False,
        init_value=0.0,
        peak_value=0.1,
        warmup_steps=0,
        stable_steps=60,
        decay_steps=400,
        end_value=0.001,
        shape="1-sqrt",
    ),
    _schedule("rex", "rex_schedule", False, init_value=0.1, decay_steps=900),
    _schedule("rex_to_an_end", "rex_schedule", False, init_value=0.1, decay_steps=1500, alpha=0.2),
    _schedule("inverse_sqrt", "inverse_sqrt_schedule", False, init_value=0.0, peak_value=0.1, warmup_steps=100),
    _schedule("inverse_sqrt_from_a_level", "inverse_sqrt_schedule", False, init_value=0.1, peak_value=0.1, warmup_steps=30),
    _schedule("inverse_sqrt_without_warmup", "inverse_sqrt_schedule", False, init_value=0.0, peak_value=0.1, warmup_steps=0),
    _schedule("cyclic", "cyclic_schedule", False, init_value=0.01, peak_value=0.1, step_size_up=30, step_size_down=25),
    _schedule("cyclic_halving", "cyclic_schedule", False, init_value=0.01, peak_value=0.1, step_size_up=26, mode="triangular2"),
    _schedule(
        "cyclic_fading",
        "cyclic_schedule",
        False,
        init_value=0.01,
        peak_value=0.1,
        step_size_up=5.25,
        step_size_down=0,
        mode="exp_range",
        gamma=0.999,
    ),
    _schedule("steps", "step_schedule", False, init_value=0.1, step_size=150, gamma=0.5),
]

BY_NAME = {case.name: case for case in SCHEDULES}
SCHEDULES.append(
    _schedule(
        "join",
        "join_schedules",
        schedules=[BY_NAME["linear"], BY_NAME["constant"], BY_NAME["cosine"]],
        boundaries=[60, 150],
    )
)
BY_NAME["join"] = SCHEDULES[-1]

"""Schedules that begin again: warm restarts, triangles."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp

from jopt.schedules.pieces import in_turn, warmup_cosine_decay_schedule
from jopt.schedules.time import STEPS, as_time, turns
from jopt.values import require
from jopt.values.numbers import Numeric
from jopt.values.schedule import Schedule, schedule


def sgdr_schedule(cosine_kwargs: Iterable[Mapping[str, Numeric]]) -> Schedule:
    """Warm restarts: cycles of half a cosine, one after the other.

    ``a(t) = cycle_i(t − Σ_{j<i} decay_steps_j)``, where each cycle is a ``warmup_cosine_decay_schedule`` and lasts as long as
    its ``decay_steps``; the last one stays at its end value.

    Args:
      cosine_kwargs: For each cycle a dict of the arguments of ``warmup_cosine_decay_schedule``. All of them are numbers of
        the value, and any may be an axis.

    Returns:
      The schedule.

    Raises:
      ValueError: For no cycles, or a number out of its range.

    Differs from:
      Optax: as ``warmup_cosine_decay_schedule`` does. PyTorch's ``CosineAnnealingWarmRestarts(T_0, T_mult)`` is the cycles
      ``dict(init_value=lr, peak_value=lr, warmup_steps=0, decay_steps=T_0 * T_mult**i, end_value=eta_min)``.

    Reference:
      Loshchilov and Hutter, 2017, arXiv:1608.03983.

    Example:
      >>> cycle = {"init_value": 1.0, "peak_value": 1.0, "warmup_steps": 0, "decay_steps": 10}
      >>> restarted = jopt.sgdr_schedule([cycle, {**cycle, "peak_value": 0.5}])
      >>> [round(float(restarted(t)), 6) for t in (0, 5, 10, 15)]
      [1.0, 0.5, 0.5, 0.25]
    """
    cycles = tuple(_cycle(kwargs) for kwargs in require.listed("sgdr_schedule: cosine_kwargs", cosine_kwargs, "dicts"))
    if not cycles:
        raise ValueError("sgdr_schedule takes at least one dict of arguments of warmup_cosine_decay_schedule, but got none.")
    return _sgdr(cycles)


def _cycle(kwargs: Any) -> Any:
    if not isinstance(kwargs, Mapping):
        raise TypeError(f"sgdr_schedule: each of cosine_kwargs must be a dict of arguments, but got {require.shown(kwargs)}.")
    try:
        return warmup_cosine_decay_schedule(**kwargs)
    except TypeError as error:
        raise TypeError(f"sgdr_schedule: cosine_kwargs has a dict that does not fit: {error}.") from error


@schedule(name="sgdr_schedule")
def _sgdr(cosine_kwargs: tuple[Any, ...]) -> Callable[[Any], Any]:
    lengths = [cycle.hyperparams["decay_steps"] for cycle in cosine_kwargs]
    return lambda step: in_turn(step, cosine_kwargs, [lengths[:i] for i in range(1, len(lengths))])


@schedule(domain={"step_size_up": STEPS, "step_size_down": STEPS, "gamma": "(0, inf)"})
def cyclic_schedule(
    init_value: Numeric,
    peak_value: Numeric,
    step_size_up: Numeric = 2000,
    step_size_down: Numeric | None = None,
    mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
    gamma: Numeric = 1.0,
) -> Callable[[Any], Any]:
    """Up and down between two values, again and again.

    ``a(t) = init_value + (peak_value − init_value) · h(t) · c(t)``, where h goes from 0 to 1 in ``step_size_up`` steps and
    back in ``step_size_down``, and c is 1 ("triangular"), ½ to the number of whole cycles so far ("triangular2") or
    ``gamma^t`` ("exp_range").

    Args:
      init_value: The lower value, from which each cycle starts.
      peak_value: The upper value.
      step_size_up: Steps from the lower to the upper value, at least 0; with 0 each cycle starts at the upper one.
      step_size_down: Steps back, at least 0; by default as many as upwards.
      mode: How the height of the cycles changes: "triangular" (not at all), "triangular2" or "exp_range".
      gamma: The factor per step of "exp_range", above 0; the other modes have no use for it.

    Returns:
      The schedule.

    Raises:
      ValueError: For a number out of its range, or another mode.

    Differs from:
      PyTorch's ``CyclicLR`` has these values (``base_lr`` and ``max_lr`` are its first two arguments) and moves the momentum
      too, against the rate; here give the momentum a cyclic schedule of its own, with its two values exchanged.

    Reference:
      Smith, 2015, arXiv:1506.01186.

    Example:
      >>> rate = jopt.cyclic_schedule(0.1, 0.5, 10, mode="triangular2")
      >>> [round(float(rate(t)), 6) for t in (0, 10, 20, 30)]
      [0.1, 0.5, 0.1, 0.3]
    """

    def value(step: Any) -> jax.Array:
        up = as_time(step_size_up)
        down = up if step_size_down is None else as_time(step_size_down)
        cycles, since = turns(step, 0, up + down)
        rising, falling = since / jnp.where(up > 0, up, 1.0), (up + down - since) / jnp.where(down > 0, down, 1.0)
        height = (as_time(peak_value) - as_time(init_value)) * jnp.where(since < up, rising, falling)
        if mode == "triangular2":
            height = height * 0.5**cycles
        if mode == "exp_range":
            height = height * as_time(gamma) ** as_time(step)
        return as_time(init_value) + height

    return value

"""Schedule-Free: averaging in place of a falling rate, around any rule, and with gradient descent and AdamW."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import optax

from jopt.optimizers.rmsprop import scale_by_rms
from jopt.schedules.time import as_time, power_of
from jopt.transformation import GradientTransformation, transformation
from jopt.transforms.averaging import averages_in, evaluation_params
from jopt.transforms.descent import descent
from jopt.values.leafwise import copies, leafwise, one_number
from jopt.values.moments import nonzero
from jopt.values.numbers import Numeric, ScalarOrSchedule
from jopt.values.pairs import as_pair, evaluate
from jopt.values.schedule import schedule

_DOMAIN = {"learning_rate": "[0, inf)", "b1": "[0, 1]", "weight_lr_power": "[0, inf)"}
_ALIAS_DOMAIN = {**_DOMAIN, "warmup_steps": "(0, inf)", "weight_decay": "[0, inf)"}


class ScheduleFreeState(NamedTuple):
    """State of ``schedule_free``."""

    count: Any  # int32, the number of updates so far
    max_lr: Any  # the largest rate so far
    weight_sum: Any  # the weights of the average together
    z: Any  # what the base optimizer moves, like the parameters
    x: Any  # the average, like the parameters
    base_optimizer_state: Any

    def evaluation_params(self) -> Any:
        """What the optimizer is judged by."""
        return self.x


@transformation(wide="parts", checked=False, evaluates=("learning_rate",), domain=_DOMAIN, last=True)
def schedule_free(
    base_optimizer: optax.GradientTransformation,
    learning_rate: ScalarOrSchedule | None = None,
    b1: Numeric = 0.9,
    weight_lr_power: Numeric = 2.0,
    state_dtype: Any = None,
) -> Any:
    """Lets an optimizer move a point of its own, of which the average is the result, and takes gradients between the two.

    ``z' = z + u``, the base optimizer's step for the gradient at y; ``x' = (1 − c) x + c z'`` with ``c = s_t / (s₁ + … + s_t)``
    and ``s_t = (largest rate so far)ᵖ``; ``y' = (1 − β) z' + β x'``. The parameters are y. What is trained is x:
    ``jopt.sweep`` evaluates it, and its results hold it; elsewhere it is ``jopt.evaluation_params(state, params)``.

    Args:
      base_optimizer: The transformation, jopt's or Optax's, whose updates are steps, with its rate and without momentum, for
        which β stands. Weight decay in it acts at y.
      learning_rate: The rate of ``base_optimizer`` once more where it changes, as in a warm-up: it weighs the steps in the
        average. Any constant weighs all alike, so that a number, and an axis, need stand in ``base_optimizer`` only.
      b1: β in [0, 1]. At 0 gradients are taken at z (Polyak's average), at 1 at x (primal averaging).
      weight_lr_power: p, at least 0.
      state_dtype: The type of z and x; by default the parameter's own, at least float32.

    Returns:
      The transformation; its state is ``ScheduleFreeState(count, max_lr, weight_sum, z, x, base_optimizer_state)``, two copies
      of the parameters beside the base optimizer's. Its ``update`` needs the parameters.

    Raises:
      TypeError: When ``base_optimizer`` is no transformation.
      ValueError: When ``update`` is called without the parameters, for a number out of its range, and for several rates.

    Differs from:
      Optax's rate has no default. It keeps z alone and takes x from y, which loses digits in bfloat16 and is impossible at
      β = 0; and it weighs a step by the rate of the next one. Here y follows from z and x, so that bfloat16 parameters don't
      lag behind.

    Reference:
      Defazio et al., 2024, arXiv:2405.15682.

    Example:
      >>> opt = jopt.schedule_free(jopt.sgd(0.5), 0.5, b1=0.0)
      >>> w = jax.numpy.float32(4.0)
      >>> state = opt.init(w)
      >>> for _ in range(2):
      ...     updates, state = opt.update(jax.numpy.float32(2.0), state, w)
      ...     w += updates
      >>> w, jopt.schedule_free_eval_params(state, w)
      (Array(2., dtype=float32), Array(2.5, dtype=float32))
    """
    pair = as_pair(base_optimizer)

    def init(params: Any) -> ScheduleFreeState:
        count, (max_lr, weight_sum) = jnp.zeros([], jnp.int32), (jnp.zeros([], float) for _ in range(2))
        z, x = (copies(params, state_dtype) for _ in range(2))
        return ScheduleFreeState(count, max_lr, weight_sum, z, x, pair.init(params))

    def rule(u: Any, z: Any, x: Any, y: Any, b1: Any, c: Any) -> Any:
        z = z + u
        x = (1.0 - c) * x + c * z
        return (1.0 - b1) * z + b1 * x - y, z, x

    def update(updates: Any, state: ScheduleFreeState, params: Any = None, **extra_args: Any) -> Any:
        if params is None:
            raise ValueError("schedule_free needs the parameters: call update(updates, state, params).")
        steps, base_state = pair.update(updates, state.base_optimizer_state, params, **extra_args)
        given = 1.0 if learning_rate is None else evaluate(learning_rate, state.count)
        rate = one_number("schedule_free: learning_rate", given)
        max_lr = jnp.maximum(state.max_lr, as_time(rate))
        weight = power_of(max_lr, one_number("schedule_free: weight_lr_power", weight_lr_power))
        weight_sum = state.weight_sum + weight
        c = weight / nonzero(weight_sum)
        trees = {"updates": steps, "state.z": state.z, "state.x": state.x, "params": params}
        updates, z, x = leafwise(rule, trees, b1=b1, c=c)
        return updates, ScheduleFreeState(optax.safe_increment(state.count), max_lr, weight_sum, z, x, base_state)

    return init, update


def schedule_free_eval_params(state: Any, params: Any) -> Any:
    """The average x of ``jopt.schedule_free``, which is what it trains, from its state and the parameters y.

    Args:
      state: The state; of an optimizer that has ``schedule_free`` in it, too, and of Optax's own.
      params: The parameters.

    Returns:
      A tree of the structure, shapes and types of ``params``. Of jopt's states it is ``jopt.evaluation_params(state, params)``.

    Raises:
      ValueError: For a state that holds no average.

    Example:
      >>> opt = jopt.schedule_free_sgd(0.5)
      >>> w = jax.numpy.ones(2)
      >>> jopt.schedule_free_eval_params(opt.init(w), w)
      Array([1., 1.], dtype=float32)
    """
    if averages_in(state):
        return evaluation_params(state, params)
    if not {"b1", "z"} <= {*getattr(state, "_fields", ())}:
        raise ValueError(
            f"schedule_free_eval_params takes the state of schedule_free, or of an optimizer that has it in it, but got a "
            f"{type(state).__name__} without an average. The order is schedule_free_eval_params(state, params)."
        )
    (x,) = leafwise(lambda y, z, b1: ((y - (1.0 - b1) * z) / b1,), {"params": params, "state.z": state.z}, b1=state.b1)
    return x


@schedule
def _warmed_up(learning_rate: Any, warmup_steps: Any) -> Callable[[Any], Any]:
    """A rate times t / T at the t-th of the first T updates."""

    def rate(step: Any) -> Any:
        part = jnp.minimum((as_time(step) + 1.0) / as_time(warmup_steps), 1.0)
        return part * one_number("learning_rate", evaluate(learning_rate, step))

    return rate


@transformation(wide=True, schedules=("weight_decay",), evaluates=("learning_rate",), domain=_ALIAS_DOMAIN, last=True)
def schedule_free_sgd(
    learning_rate: ScalarOrSchedule = 1.0,
    warmup_steps: Numeric | None = None,
    b1: Numeric = 0.9,
    weight_decay: ScalarOrSchedule | None = None,
    weight_lr_power: Numeric = 2.0,
    state_dtype: Any = None,
) -> Any:
    """Schedule-Free gradient descent: an average, and gradients near it, in place of momentum and a falling rate.

    ``z' = z − α_t (g + λ y)``, with the gradient at the parameters y; ``x' = (1 − c) x + c z'``; ``y' = (1 − β) z' + β x'``,
    where ``α_t = α min(t / T, 1)`` and ``c = α_tᵖ / (α₁ᵖ + … + α_tᵖ)``. What is trained is x (``jopt.evaluation_params``).

    Args:
      learning_rate: α, at least 0: a number, or a schedule without a decay.
      warmup_steps: T, above 0: over how many updates the rate grows; none by default.
      b1: β in [0, 1].
      weight_decay: λ, at least 0: a number or a schedule; none by default.
      weight_lr_power: p, at least 0.
      state_dtype: The type of z and x; by default the parameter's own, at least float32.

    Returns:
      The optimizer; its ``update`` needs the parameters. Its state is ``schedule_free``'s.

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      Optax's warm-up begins with a rate of 0, which is a step of none; the authors' begins with α / T, as here. See
      ``schedule_free`` for what else.

    Use when:
      You don't know how long you will train: no schedule to plan. Evaluate at the average, as sweep does.

    Reference:
      Defazio et al., 2024, arXiv:2405.15682.

    Example:
      >>> opt = jopt.schedule_free_sgd(0.5, b1=0.0)
      >>> w = jax.numpy.float32(4.0)
      >>> opt.update(jax.numpy.float32(2.0), opt.init(w), w)[0]
      Array(-1., dtype=float32)
    """
    rate = learning_rate if warmup_steps is None else _warmed_up(learning_rate, one_number("warmup_steps", warmup_steps))
    base = descent(learning_rate=rate, weight_decay=weight_decay, mask=None, decoupled=False)
    return _free(base, rate, b1, weight_lr_power, state_dtype)


@transformation(
    wide=True,
    schedules=("weight_decay",),
    evaluates=("learning_rate",),
    domain={**_ALIAS_DOMAIN, "b2": "[0, 1)", "eps": "[0, inf)"},
    last=True,
)
def schedule_free_adamw(
    learning_rate: ScalarOrSchedule = 0.0025,
    warmup_steps: Numeric | None = None,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    weight_decay: ScalarOrSchedule = 0.0,
    weight_lr_power: Numeric = 2.0,
    state_dtype: Any = None,
) -> Any:
    """Schedule-Free AdamW: an average, and gradients near it, in place of the mean gradient and a falling rate.

    ``v' = β₂ v + (1 − β₂) g²``, with the gradient at the parameters y; ``z' = z − α_t (g / (√(v' / (1 − β₂ᵗ)) + ε) + λ y)``;
    ``x' = (1 − c) x + c z'``; ``y' = (1 − β₁) z' + β₁ x'``, where ``α_t = α min(t / T, 1)`` and
    ``c = α_tᵖ / (α₁ᵖ + … + α_tᵖ)``. What is trained is x (``jopt.evaluation_params``).

    Args:
      learning_rate: α, at least 0: a number, or a schedule without a decay.
      warmup_steps: T, above 0: over how many updates the rate grows; none by default.
      b1: β₁ in [0, 1].
      b2: β₂ in [0, 1).
      eps: ε, at least 0.
      weight_decay: λ, at least 0: a number or a schedule.
      weight_lr_power: p, at least 0.
      state_dtype: The type of z and x; by default the parameter's own, at least float32.

    Returns:
      The optimizer; its ``update`` needs the parameters. Its state is ``schedule_free``'s.

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      Optax's warm-up begins with a rate of 0, which is a step of none; the authors' begins with α / T, as here. See
      ``schedule_free`` for what else. Keras's average has equal weights.

    Use when:
      As schedule_free_sgd, for what adamw trains: it won AlgoPerf's self-tuning track. Warm it up.

    Reference:
      Defazio et al., 2024, arXiv:2405.15682.

    Example:
      >>> opt = jopt.schedule_free_adamw(0.5, b1=0.0)
      >>> w = jax.numpy.float32(4.0)
      >>> round(float(opt.update(jax.numpy.float32(2.0), opt.init(w), w)[0]), 6)
      -0.5
    """
    rate = learning_rate if warmup_steps is None else _warmed_up(learning_rate, one_number("warmup_steps", warmup_steps))
    scaled = scale_by_rms(b2, eps, eps_in_sqrt=False, bias_correction=True)
    base = descent(scaled, learning_rate=rate, weight_decay=weight_decay, mask=None, decoupled=False)
    return _free(base, rate, b1, weight_lr_power, state_dtype)


def _free(base: Any, rate: Any, b1: Any, weight_lr_power: Any, state_dtype: Any) -> GradientTransformation:
    return schedule_free(base, rate, b1, weight_lr_power, state_dtype)

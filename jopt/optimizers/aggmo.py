"""Aggregated momentum: AggMo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from jopt.transformation import transformation
from jopt.transforms.descent import descent
from jopt.values.leafwise import leafwise, zeros_like
from jopt.values.numbers import Numeric, ScalarOrSchedule

_DOMAIN = {"betas": "[0, 1]"}
_ALIAS_DOMAIN = {**_DOMAIN, "learning_rate": "[0, inf)", "weight_decay": "[0, inf)"}


class ScaleByAggmoState(NamedTuple):
    """State of ``scale_by_aggmo``."""

    traces: tuple[Any, ...]  # a velocity for each of the betas, like the parameters


@transformation(wide=True, domain=_DOMAIN)
def scale_by_aggmo(betas: Sequence[Numeric] = (0.0, 0.9, 0.99)) -> Any:
    """Averages several velocities, each with a damping of its own.

    ``mᵢ' = βᵢ mᵢ + g`` for i = 1 … K; ``u = (m₁' + … + m_K') / K``

    Args:
      betas: β₁ … β_K, a tuple of numbers in [0, 1]; how many there are is structure.

    Returns:
      The transformation; its state is ``ScaleByAggmoState(traces)``, K velocities like the parameters.

    Raises:
      ValueError: For a number out of its range.
      TypeError: For betas that are no tuple or list of at least one number.

    Reference:
      Lucas et al., 2018, arXiv:1804.00325.

    Example:
      >>> rule = jopt.scale_by_aggmo((0.0, 0.5))
      >>> g = jax.numpy.float32(1.0)
      >>> _, state = rule.update(g, rule.init(g))
      >>> rule.update(g, state)[0]
      Array(1.25, dtype=float32)
    """
    if not isinstance(betas, (tuple, list)) or not betas:
        raise TypeError(f"scale_by_aggmo: betas must be a tuple of at least one number, such as (0.0, 0.9), but got {betas!r}.")
    numbers: dict[str, Any] = {f"betas[{i}]": beta for i, beta in enumerate(betas)}

    def init(params: Any) -> ScaleByAggmoState:
        return ScaleByAggmoState(tuple(zeros_like(params) for _ in numbers))

    def rule(g: Any, *m: Any, **numbers: Any) -> Any:
        m = tuple(beta * old + g for beta, old in zip(numbers.values(), m, strict=True))
        return sum(m[1:], m[0]) / float(len(m)), *m

    def update(updates: Any, state: ScaleByAggmoState, params: Any = None, **extra_args: Any) -> Any:
        trees = {"updates": updates, **{f"state.traces[{i}]": m for i, m in enumerate(state.traces)}}
        updates, *traces = leafwise(rule, trees, **numbers)
        return updates, ScaleByAggmoState(tuple(traces))

    return init, update


@transformation(wide=True, schedules=("weight_decay",), evaluates=("learning_rate",), domain=_ALIAS_DOMAIN)
def aggmo(
    learning_rate: ScalarOrSchedule,
    betas: Sequence[Numeric] = (0.0, 0.9, 0.99),
    weight_decay: ScalarOrSchedule | None = None,
    mask: Any = None,
    *,
    decoupled: bool = False,
) -> Any:
    """Aggregated momentum: the mean of several velocities, the slow ones damped by the fast ones.

    ``mᵢ' = βᵢ mᵢ + g`` for i = 1 … K; ``w' = w − α ((m₁' + … + m_K') / K + λ w)``, or ``w − α (…) − λ w`` with ``decoupled``.

    Args:
      learning_rate: α, at least 0: a number, a schedule, or a prefix of the parameter tree with one of these per branch.
      betas: β₁ … β_K, a tuple of numbers in [0, 1]; one alone gives ``sgd`` with momentum. Each can be swept
        (``opt.replace(**{"betas.1": ...})``); how many there are is structure.
      weight_decay: λ, at least 0: a number or a schedule; none by default.
      mask: A tree of bools, or a function from the parameters to one, saying which leaves decay.
      decoupled: Whether λ is not multiplied by the rate.

    Returns:
      The optimizer; its state holds K velocities like the parameters.

    Raises:
      ValueError: For a number out of its range.
      TypeError: For betas that are no tuple or list of at least one number.

    Differs from:
      The authors' code adds λ w to the gradient (``jopt.chain(jopt.add_decayed_weights(λ), jopt.aggmo(α))``). Optax and
      PyTorch have no AggMo.

    Use when:
      A large momentum oscillates: several velocities at once damp each other.

    Reference:
      Lucas et al., 2018, arXiv:1804.00325, whose defaults these are.

    Example:
      >>> opt = jopt.aggmo(0.1)
      >>> g = jax.numpy.float32(1.0)
      >>> _, state = opt.update(g, opt.init(g))
      >>> round(float(opt.update(g, state)[0]), 6)
      -0.163
    """
    direction = scale_by_aggmo(betas)
    return descent(direction, learning_rate=learning_rate, weight_decay=weight_decay, mask=mask, decoupled=decoupled)

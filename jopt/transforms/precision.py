"""Narrow parameters that keep small updates: ``kahan``, ``master_weights``, ``stochastic_rounding``.

Half of the spacing of bfloat16 at 1 is 0.004: an update below that is rounded away, and the weight never moves. Each of the
three is the outermost part of an optimizer. It hands the optimizer inside float32 gradients and parameters, and returns an
update that is a number of the narrow type itself, so that whoever adds it, in whatever type, gets what the state knows of.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jopt.transformation import transformation
from jopt.values.checks import structure_error
from jopt.values.leafwise import kept_dtype, one_number
from jopt.values.numbers import Numeric, difference
from jopt.values.pairs import as_pair
from jopt.values.rounding import at_random, draw, draws, in_turn, is_narrow, nearest, towards, widened
from jopt.values.trees import flatten, is_none


class KahanState(NamedTuple):
    """State of ``kahan``: what the parameters have lost by rounding."""

    count: Any  # int32, the number of updates so far
    compensation: Any  # like the narrow parameters; an array without elements for each other leaf
    inner_state: Any


class MasterWeightsState(NamedTuple):
    """State of ``master_weights``: the parameters in float32."""

    master: Any  # float32, in the shapes of the narrow parameters; an array without elements for each other leaf
    inner_state: Any


class StochasticRoundingState(NamedTuple):
    """State of ``stochastic_rounding``: which numbers to draw next."""

    count: Any  # int32, the number of updates so far
    inner_state: Any


@transformation(wide=True, last=True)
def kahan(optimizer: optax.GradientTransformation) -> Any:
    """Keeps what rounding takes from bfloat16 or float16 parameters, and adds it to the next update.

    ``e = c + f(g)``; ``u = round(round(p + e) − p)``; ``p' = round(p + u)``; ``c' = e − (p' − p)``

    Memory per parameter of bfloat16, beside the state of f: 2 bytes, so 12 in all around Adam (2 + 2 + 8), as many as
    float32 parameters take. c has the type of p and is rounded up and down in turns, so that its own errors cancel and updates
    of any size arrive: after 10,000 equal ones a bfloat16 weight is within 0.6 of its spacing of the float32 sum. (Rounded to
    the nearest, it was up to 4 spacings off, and updates under 2⁻¹⁷ of a weight were lost.) An update takes 8 bytes of scratch
    memory for each parameter of the largest leaf on a CPU.

    Args:
      optimizer: f, jopt's or Optax's. It is handed gradients and parameters in float32, the latter as ``p + c``, so its
        state is that of float32 parameters.

    Returns:
      The transformation, to stand around all others; its state is ``KahanState(count, compensation, inner_state)``. Its
      ``update`` needs the parameters. Leaves of other types pass through. Parameters that are changed between two updates, by a
      projection, say, keep the change.

    Raises:
      TypeError: When ``optimizer`` is no transformation.
      ValueError: When ``update`` is called without the parameters.

    Reference:
      Kahan, 1965, "Further remarks on reducing truncation errors"; Zamirai et al., 2020, arXiv:2010.06192.

    Example:
      >>> opt, w = jopt.kahan(jopt.sgd(2**-10)), jnp.bfloat16(1.0)
      >>> state = opt.init(w)
      >>> for _ in range(8):
      ...     updates, state = opt.update(jnp.bfloat16(1.0), state, w)
      ...     w = jopt.apply_updates(w, updates)
      >>> float(w) == 1 - 8 * 2**-10
      True
    """
    pair = as_pair(optimizer)

    def init(params: Any) -> KahanState:
        compensation = jax.tree.map(lambda p: jnp.zeros_like(p) if is_narrow(p) else _nothing(), params)
        return KahanState(jnp.zeros([], jnp.int32), compensation, _init(pair, params))

    def update(updates: Any, state: KahanState, params: Any = None, **extra_args: Any) -> Any:
        rows, turn = _Rows("kahan", updates, params, state.compensation), in_turn(state.count)
        rows.check("kahan")

        def rule(p: jax.Array, c: Any, u: jax.Array, kind: Any) -> tuple[jax.Array, jax.Array]:
            e = widened(c) + u
            update, reached = towards(p, nearest(p + e, kind), kind)
            return update, at_random(0.0, e - (reached - p), kind, turn).astype(kind)

        seen = rows.tree(lambda p, c: p + widened(c))
        new, inner_state = pair.update(rows.gradients, state.inner_state, seen, **extra_args)
        new, compensation = rows.apply(new, rule)
        return new, KahanState(optax.safe_increment(state.count), compensation, inner_state)

    return init, update


@transformation(wide=True, last=True)
def master_weights(optimizer: optax.GradientTransformation) -> Any:
    """Trains a float32 copy of bfloat16 or float16 parameters, which are that copy rounded.

    ``w' = w + f(g)``; ``u = round(round(w') − p)``

    Memory per parameter of bfloat16, beside the state of f: 4 bytes, so 14 in all around Adam (2 + 4 + 8); what is saved are
    gradients and activations. w is the run of float32 parameters along the same gradients.

    Args:
      optimizer: f, jopt's or Optax's. It is handed gradients in float32, and w in the place of the parameters.

    Returns:
      The transformation, to stand around all others; its state is ``MasterWeightsState(master, inner_state)``. Its ``update``
      needs the parameters. Leaves of other types pass through. The copy is what counts: parameters that were changed from
      outside go back to it at the next update; make a new state after such a change, or take ``kahan``.

    Raises:
      TypeError: When ``optimizer`` is no transformation.
      ValueError: When ``update`` is called without the parameters.

    Reference:
      Micikevicius et al., 2017, arXiv:1710.03740.

    Example:
      >>> opt, w = jopt.master_weights(jopt.sgd(2**-10)), jnp.bfloat16(1.0)
      >>> state = opt.init(w)
      >>> updates, state = opt.update(jnp.bfloat16(1.0), state, w)
      >>> float(updates), float(state.master) == 1 - 2**-10
      (0.0, True)
    """
    pair = as_pair(optimizer)

    def init(params: Any) -> MasterWeightsState:
        return MasterWeightsState(jax.tree.map(lambda p: _copy(p) if is_narrow(p) else _nothing(), params), _init(pair, params))

    def rule(p: jax.Array, w: Any, u: jax.Array, kind: Any) -> tuple[jax.Array, jax.Array]:
        w = w + u
        return towards(p, nearest(w, kind), kind)[0], w

    def update(updates: Any, state: MasterWeightsState, params: Any = None, **extra_args: Any) -> Any:
        rows = _Rows("master_weights", updates, params, state.master)
        rows.check("master_weights")
        seen = rows.tree(lambda p, w: w)
        new, inner_state = pair.update(rows.gradients, state.inner_state, seen, **extra_args)
        new, master = rows.apply(new, rule)
        return new, MasterWeightsState(master, inner_state)

    return init, update


@transformation(wide=True, domain={"seed": "whole [0, inf)"}, last=True)
def stochastic_rounding(optimizer: optax.GradientTransformation, seed: Numeric = 0) -> Any:
    """Rounds bfloat16 or float16 parameters up or down at random, so that small updates arrive in the mean.

    ``p' = p + f(g)``, rounded up with a probability of how far it is above the lower neighbour: ``E[p'] = p + f(g)``

    Memory per parameter of bfloat16, beside the state of f: none, so 10 bytes in all around Adam (2 + 8), or 6 with
    ``bfloat16_states`` inside. In return each weight wanders, by up to half of √n spacings of its type in n updates, and each
    update draws a number for each weight (on a CPU, with 24 bytes of scratch memory for each).

    Args:
      optimizer: f, jopt's or Optax's. It is handed gradients and parameters in float32.
      seed: Of the draws, a whole number. Draws follow from it, the number of updates and the leaf's path alone: a run repeats
        bit for bit, leaves are independent, in the branches of ``jopt.partition`` too, and the lanes of a sweep share their
        draws unless this number is an axis.

    Returns:
      The transformation, to stand around all others; its state is ``StochasticRoundingState(count, inner_state)``. Its
      ``update`` needs the parameters. Leaves of other types pass through.

    Raises:
      TypeError: When ``optimizer`` is no transformation.
      ValueError: When ``update`` is called without the parameters, or for a negative seed.

    Reference:
      Gupta et al., 2015, arXiv:1502.02551; Zamirai et al., 2020, arXiv:2010.06192.

    Example:
      >>> opt, w = jopt.stochastic_rounding(jopt.sgd(1e-3)), jnp.ones(1000, jnp.bfloat16)
      >>> updates, _ = opt.update(w, opt.init(w), w)
      >>> {float(x) for x in updates} == {0.0, -0.00390625}
      True
    """
    pair = as_pair(optimizer)

    def init(params: Any) -> StochasticRoundingState:
        return StochasticRoundingState(jnp.zeros([], jnp.int32), _init(pair, params))

    def update(updates: Any, state: StochasticRoundingState, params: Any = None, **extra_args: Any) -> Any:
        rows = _Rows("stochastic_rounding", updates, params, updates)
        key = draws(difference(one_number("seed", seed), 0)[0], 0, state.count)
        places = iter([zlib.crc32(row.path.encode()) for row in rows.rows if row.rounds])

        def rule(p: jax.Array, _: Any, u: jax.Array, kind: Any) -> tuple[jax.Array, None]:
            to = at_random(p, u, kind, draw(key, next(places), p))
            return towards(p, to, kind)[0], None

        new, inner_state = pair.update(rows.gradients, state.inner_state, rows.tree(lambda p, _: p), **extra_args)
        return rows.apply(new, rule)[0], StochasticRoundingState(optax.safe_increment(state.count), inner_state)

    return init, update


class _Row(NamedTuple):
    """A leaf: its gradient, its parameter, and what the state has for it."""

    g: Any
    p: Any
    kept: Any
    path: str

    @property
    def rounds(self) -> bool:
        return self.g is not None and self.p is not None and is_narrow(self.p)


class _Rows:
    """The leaves of an update, those with narrow parameters apart from the others, which pass."""

    def __init__(self, name: str, updates: Any, params: Any, kept: Any) -> None:
        if params is None:
            raise ValueError(f"{name} needs the parameters: call update(updates, state, params).")
        leaves, self.treedef = flatten(updates, is_leaf=is_none)
        columns = [leaves]
        for other, tree in (("params", params), ("state", kept)):
            try:
                columns.append(self.treedef.flatten_up_to(tree))
            except ValueError as error:
                raise structure_error("updates", updates, other, tree) from error
        paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_flatten_with_path(updates, is_leaf=is_none)[0]]
        self.rows: Sequence[_Row] = [_Row(*row) for row in zip(*columns, paths, strict=True)]
        self.gradients = jax.tree.map(widened, updates)

    def check(self, name: str) -> None:
        """Checks that the state was made for parameters of these types."""
        for row in self.rows:
            made_for = jnp.shape(row.p) if row.rounds else (0,)
            if row.g is not None and row.p is not None and jnp.shape(row.kept) != made_for:
                raise ValueError(
                    f"{name}: the state was made for a parameter of another type, or shape, than the "
                    f"{jnp.result_type(row.p)}{list(jnp.shape(row.p))} at {row.path or '(root)'}; make it anew with "
                    f"init(params), of the parameters as they are trained."
                )

    def tree(self, exact: Callable[[jax.Array, Any], jax.Array]) -> Any:
        """The parameters that the optimizer inside sees."""
        return self.treedef.unflatten([exact(widened(r.p), r.kept) if r.rounds else r.p for r in self.rows])

    def apply(self, new: Any, rule: Callable[..., tuple[jax.Array, Any]]) -> tuple[Any, Any]:
        """The updates as ``rule`` rounds them, in the types of the gradients, and what it keeps."""
        done = [self._rounded(r, u, rule) for r, u in zip(self.rows, self.treedef.flatten_up_to(new), strict=True)]
        return self.treedef.unflatten([u for u, _ in done]), self.treedef.unflatten([kept for _, kept in done])

    def _rounded(self, row: _Row, u: Any, rule: Callable[..., tuple[jax.Array, Any]]) -> tuple[Any, Any]:
        if row.g is None:
            return u, row.kept
        kept = row.kept
        if row.rounds:
            u, kept = rule(widened(row.p), kept, jnp.asarray(u).astype(jnp.float32), jnp.result_type(row.p))
        return jnp.asarray(u).astype(kept_dtype(jnp.asarray(row.g))), kept


def _init(pair: optax.GradientTransformationExtraArgs, params: Any) -> Any:
    return pair.init(jax.tree.map(widened, params))


def _nothing() -> jax.Array:
    return jnp.zeros(0, jnp.float32)


def _copy(p: Any) -> jax.Array:
    """In float32; zeros where only the shape is known."""
    return jnp.zeros(p.shape, jnp.float32) if isinstance(p, jax.ShapeDtypeStruct) else widened(p)

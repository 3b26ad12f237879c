"""Rounding to a narrow type inside float32: to the nearest number, or to one of both neighbours at random."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

KEYS = "threefry2x32"  # whatever JAX's default is: with some others, a lane's numbers depend on its block


def is_narrow(x: Any) -> bool:
    """Whether an array, or its shape, is bfloat16 or float16."""
    kind = jnp.result_type(x)
    return bool(jnp.issubdtype(kind, jnp.floating)) and jnp.finfo(kind).bits == 16


def widened(x: Any) -> Any:
    """A narrow array, or its shape, in float32; any other as it is."""
    if not is_narrow(x):
        return x
    if isinstance(x, jax.ShapeDtypeStruct):
        return jax.ShapeDtypeStruct(x.shape, jnp.float32)
    return jnp.asarray(x).astype(jnp.float32)


def nearest(x: jax.Array, kind: Any) -> jax.Array:
    """The number of a narrow type that is nearest to ``x``, in float32.

    Not by a cast there and back: XLA may leave out such a pair of casts, and then nothing is rounded.
    """
    info, still = jnp.finfo(kind), jax.lax.stop_gradient(x)
    rounded = jax.lax.reduce_precision(still, info.nexp, info.nmant)
    if info.nexp < 8:  # below the normal numbers of float16, reduce_precision gives 0
        spacing = float(info.smallest_subnormal)
        rounded = jnp.where(jnp.abs(still) < float(info.tiny), jnp.round(still / spacing) * spacing, rounded)
    return _instead(x, rounded)


def towards(p: jax.Array, to: jax.Array, kind: Any) -> tuple[jax.Array, jax.Array]:
    """The update in a narrow type that takes ``p`` to the narrow number ``to``, and where it ends: there, or beside it.

    The difference of two narrow numbers is a narrow number where it neither halves nor triples p; elsewhere it is rounded.
    """
    update = nearest(to - p, kind)
    return update, nearest(p + update, kind)


def at_random(p: Any, change: jax.Array, kind: Any, draw: jax.Array) -> jax.Array:
    """One of the two narrow numbers around ``p + change``, which is its mean over ``draw``, even in [0, 1).

    ``p`` is a narrow number itself. The spacing is that of the sum or of the change, whichever is wider, so that the update
    from p to the new number is a narrow number, too. The change is not added to p first, which would take its last digits.
    """
    exact, info = p + change, jnp.finfo(kind)
    still = jax.lax.stop_gradient(change)
    size = jnp.maximum(_power_of_two(jax.lax.stop_gradient(exact)), _power_of_two(still))
    least = max(float(info.smallest_subnormal), float(jnp.finfo(jnp.float32).tiny))
    spacing = jnp.maximum(size * 2.0**-info.nmant, least)
    whole = jnp.floor(p / spacing)
    part = (p / spacing - whole) + still / spacing
    below = jnp.floor(part)
    up = (draw < part - below).astype(jnp.float32)
    return _instead(exact, spacing * (whole + below + up))


def in_turn(count: Any) -> jax.Array:
    """A number in [0, 1) for each count: multiples of the golden ratio, which any row of neighbours spreads evenly."""
    bits = jnp.asarray(count).astype(jnp.uint32) * jnp.uint32(2654435769)  # 2**32 over the golden ratio
    turn: jax.Array = (bits >> 8).astype(jnp.float32) * 2.0**-24
    return turn


def draws(seed: Any, stream: int, count: Any) -> jax.Array:
    """The random key of an update, of one of several streams."""
    key = jax.random.key(jnp.asarray(seed).astype(jnp.uint32), impl=KEYS)
    return jax.random.fold_in(jax.random.fold_in(key, stream), count)


def draw(key: jax.Array, leaf: int, like: jax.Array) -> jax.Array:
    """Numbers in [0, 1) for the elements of a leaf."""
    return jax.random.uniform(jax.random.fold_in(key, leaf), jnp.shape(like), jnp.float32)


def _power_of_two(x: jax.Array) -> jax.Array:
    """The largest power of two that is at most the float32 ``|x|``: its exponent, without sign and digits."""
    bits = jax.lax.bitcast_convert_type(x, jnp.uint32)
    return jax.lax.bitcast_convert_type(bits & jnp.uint32(0x7F800000), jnp.float32)


@jax.custom_jvp
def _instead(exact: jax.Array, rounded: jax.Array) -> jax.Array:
    """``rounded``, with the derivative of what it stands for."""
    return rounded


@_instead.defjvp
def _instead_jvp(primals: Any, tangents: Any) -> Any:
    return primals[1], tangents[0]

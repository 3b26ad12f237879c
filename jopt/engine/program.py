"""What one lane does: start, step, evaluate, as pure functions around those of the user.

Each is given the lane's setting, and hands the user's functions the optimizer, and ``hyper`` where they name it.
"""

from __future__ import annotations

import abc
import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jopt import hyper
from jopt.engine.data.sources import Source
from jopt.spaces import Setting
from jopt.training import descend, scalars
from jopt.transforms.averaging import averaged, fitted
from jopt.values import checks
from jopt.values.pairs import as_pair
from jopt.values.trees import like, structure

KEYS = "threefry2x32"  # of jopt's own random keys, whatever JAX's default: with others, a lane's numbers depend on its block


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Program(abc.ABC):
    """One lane.

    Attributes:
      source: makes the batches.
      evaluation: the user's ``evaluate``, of what is kept of a carry; None: there is none.
      feedback: whether the step is given the latest evaluation.
      dies: whether nothing brings back a lane of which something that is kept is not finite.
    """

    source: Source
    evaluation: Callable[..., Any] | None = None
    feedback: bool = False
    dies: bool = False

    @abc.abstractmethod
    def start(self, setting: Setting, key: Any, given: Any) -> Any:
        """The first carry; ``given`` are parameters to start from, or None."""

    @abc.abstractmethod
    def step(self, setting: Setting, carry: Any, batch: Any, key: Any, feedback: Any) -> tuple[Any, dict[str, Any]]:
        """The carry one step further, and scalars by name."""

    @abc.abstractmethod
    def kept(self, carry: Any) -> Any:
        """What the result keeps of a carry: some of its leaves, which may be arrays, shapes or whatever stands for them."""

    def fitted(self, kept: Any, carry: Any, lead: tuple[int, ...] = ()) -> Any:
        """What is kept in the types and shapes in which evaluate is given it, behind leading axes; ``carry`` may be shapes."""
        return kept

    def evaluate(self, setting: Setting, carry: Any) -> dict[str, Any]:
        """The metrics of a carry."""
        assert self.evaluation is not None
        with hyper.shapes_told(setting.hyper):
            return scalars("evaluate", hyper.call(self.evaluation, (self.fitted(self.kept(carry), carry),), setting.hyper))

    def batch(self, setting: Setting, data: Any, row: Any, key: Any, step: Any) -> Any:
        """The batch of one step, of the data on the device and the step's own row."""
        return self.source.batch(data, row, key, step, setting.hyper)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Gradient(Program):
    """Training by the gradient of a loss; the carry is the parameters and the optimizer's state.

    Attributes:
      loss: the user's ``loss(params, batch)``, or with a key.
      init: ``init(key) -> params``; None: the parameters are given.
      takes_key: whether the loss takes a key.
      has_aux: whether it returns a pair of its value and a dict of scalars.
      record: what is recorded beside that, of ``recording.RECORDS``.
    """

    loss: Callable[..., Any]
    init: Callable[..., Any] | None
    takes_key: bool
    has_aux: bool
    record: tuple[str, ...] = ()
    dies: bool = True

    def start(self, setting: Setting, key: Any, given: Any) -> tuple[Any, Any]:
        if self.init is None:
            params = given
        else:
            params = self._made(key, setting)
            checks.params("init", params)
        params = jax.tree.map(_strong, params)
        return params, as_pair(setting.optimizer).init(params)

    def _made(self, key: Any, setting: Setting) -> Any:
        assert self.init is not None
        try:
            return hyper.call(self.init, (key,), setting.hyper)
        except Exception as error:
            if not inspect.isfunction(self.init):  # a module, say, or a method of one
                called = f"a {type(self.init).__name__} that can be called, so it was called as init(key) to make parameters"
                error.add_note(f"params is {called}; give the parameters, or a function of a key that makes them.")
            raise

    def step(self, setting: Setting, carry: Any, batch: Any, key: Any, feedback: Any) -> tuple[Any, dict[str, Any]]:
        args = (batch, key) if self.takes_key else (batch,)
        with hyper.shapes_told(setting.hyper):
            return descend(self._loss(setting), setting.optimizer, carry, args, self.has_aux, feedback or {}, self.record)

    def _loss(self, setting: Setting) -> Callable[..., Any]:
        return lambda *args: hyper.call(self.loss, args, setting.hyper)

    def kept(self, carry: Any) -> Any:
        params, state = carry
        return averaged(state, params)

    def fitted(self, kept: Any, carry: Any, lead: tuple[int, ...] = ()) -> Any:
        return fitted(kept, carry[0], lead)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class OwnStep(Program):
    """A step of the user's own: ``init(optimizer, key)``, then ``own_step(optimizer, carry, batch, key)`` again and again.

    Without ``init`` the first carry is given.
    """

    init: Callable[..., Any] | None
    own_step: Callable[..., Any]

    def start(self, setting: Setting, key: Any, given: Any) -> Any:
        carry = given if self.init is None else hyper.call(self.init, (setting.optimizer, key), setting.hyper)
        return jax.tree.map(_strong, carry)

    def step(self, setting: Setting, carry: Any, batch: Any, key: Any, feedback: Any) -> tuple[Any, dict[str, Any]]:
        made = hyper.call(self.own_step, (setting.optimizer, carry, batch, key), setting.hyper)
        if not (isinstance(made, tuple) and len(made) == 2):
            raise TypeError(f"step must return (carry, {{name: scalar}}), but returned {type(made).__name__}.")
        new, metrics = made
        if structure(new) != structure(carry):
            raise TypeError(
                f"step must return a carry of the structure that it was given, {structure(carry)}, "
                f"but returned {structure(new)}."
            )
        for (path, old), now in zip(jax.tree_util.tree_flatten_with_path(carry)[0], jax.tree.leaves(new), strict=True):
            _check_carried(jax.tree_util.keystr(path) or "(root)", old, jnp.asarray(now))
        with hyper.shapes_told(setting.hyper):
            return like(carry, new), scalars("step", metrics)

    def kept(self, carry: Any) -> Any:
        return carry


def _check_carried(where: str, old: jax.Array, now: jax.Array) -> None:
    if old.shape != now.shape:
        raise TypeError(f"step: the leaf of the carry at {where} has shape {old.shape}; step made it {now.shape}.")
    kept = now.dtype == old.dtype or (now.weak_type and jnp.result_type(old, now) == old.dtype)
    if not kept:  # cast back to its type, an average that begins with 0 in place of 0.0 would stay 0
        raise TypeError(
            f"step: the leaf of the carry at {where} has type {old.dtype}; step made it {now.dtype}. Let init make it "
            f"{now.dtype}, or cast what step returns: x.astype({str(old.dtype)!r})."
        )


def _strong(x: Any) -> jax.Array:
    """An array of a fixed type, so that a step can't change it."""
    array = jnp.asarray(x)
    return array if jnp.issubdtype(array.dtype, jax.dtypes.extended) else array.astype(array.dtype)


def keys_of(root: int, seeds: np.ndarray | np.uint32) -> list[Any]:
    """The keys of some seeds, uint32: for the start, the loss and the batches.

    For each purpose ``fold_in(fold_in(key(root), purpose), seed)``, on the host: that needs no program to be compiled.
    """
    purposes = [_fold_in((np.uint32(0), np.uint32(root)), np.uint32(purpose)) for purpose in (0, 2, 3)]
    return [jax.random.wrap_key_data(jax.device_put(np.stack(_fold_in(key, seeds), -1)), impl=KEYS) for key in purposes]


def _fold_in(key: tuple[Any, Any], number: Any) -> tuple[Any, Any]:
    """What ``jax.random.fold_in`` makes of a key of ``KEYS``, as the two halves of one: Threefry of (0, number) in 20 rounds.

    Reference:
      Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011).
    """
    parts = (*key, key[0] ^ key[1] ^ np.uint32(0x1BD11BDA))
    with np.errstate(over="ignore"):  # sums are modulo 2³²
        x, y = np.uint32(0) * number + parts[0], number + parts[1]
        for i in range(5):
            for turn in ((13, 15, 26, 6), (17, 29, 16, 24))[i % 2]:
                x = x + y
                y = x ^ (y << np.uint32(turn) | y >> np.uint32(32 - turn))
            x, y = x + parts[(i + 1) % 3], y + parts[(i + 2) % 3] + np.uint32(i + 1)
    return x, y

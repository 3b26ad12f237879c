"""A sweep whose parameters or data are spread over several devices: one lane at a time, over all of them.

A step is one compiled call, for every setting the same. The carry lies as the parameters lie: the state is made outside of
compiled code, where zeros like a parameter are placed as it is, and each step hands it back as it was.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jopt.engine.job import Job
from jopt.engine.lanes.blocks import to_numpy
from jopt.engine.planning.plan import Plan
from jopt.engine.running.eager import Calls, Eager, Lane
from jopt.engine.running.reached import Outcome
from jopt.spaces import Setting
from jopt.values.trees import flatten


class SpreadCalls(Calls):
    """What a lane computes, compiled for a mesh at the first call."""

    def __init__(self, job: Job, mesh: Mesh) -> None:
        super().__init__(job)
        self.everywhere = NamedSharding(mesh, PartitionSpec())
        self.data = jax.tree.map(self._over_the_mesh, job.feed.data)
        self.like: Any = None  # a carry's shapes, with their shardings; of random keys the first ones themselves
        self._evaluate = jax.jit(job.program.evaluate)

    def _over_the_mesh(self, x: Any) -> Any:
        """An array as it is where it lies on the mesh, else a copy on each of its devices."""
        here = isinstance(x, jax.Array) and x.sharding.device_set == self.everywhere.device_set
        return x if here else jax.device_put(x, self.everywhere)

    def start(self, setting: Setting, key: Any) -> Any:
        """The first carry, in memory of its own: the steps write into it."""
        program = self.job.program
        made = jax.tree.map(self._over_the_mesh, program.start(setting, key, self.job.given))
        if self.like is None:
            self.like = jax.tree.map(_outline, made)
        return jax.tree.map(jnp.copy, made)

    def placed(self, leaves: Sequence[Any], like: Sequence[Any]) -> list[Any]:
        """The leaves of a carry that come from the host, each where that of the first one lies, and nowhere else before."""
        keys = [jax.random.wrap_key_data(x, impl=jax.random.key_impl(y)) if _is_key(y) else x for x, y in _pairs(leaves, like)]
        return [jax.device_put(x, y.sharding) for x, y in _pairs(keys, like)]

    @property
    def shardings(self) -> Any:
        """Where the leaves of a carry lie."""
        return jax.tree.map(lambda x: x.sharding, self.like)

    @functools.cached_property
    def _step(self) -> Any:
        def step(setting: Setting, carry: Any, data: Any, row: Any, keys: Any, step: Any, told: Any) -> Any:
            loss_key, data_key = (jax.random.fold_in(key, step) for key in keys)
            batch = self.job.program.batch(setting, data, row, data_key, step)
            return self.job.program.step(setting, carry, batch, loss_key, told)

        return jax.jit(step, donate_argnums=1, out_shardings=(self.shardings, None))

    def step(self, setting: Setting, carry: Any, row: Any, keys: Any, step: Any, told: Any) -> tuple[Any, dict[str, Any]]:
        """The carry one step further, in the memory of the old one, and what is recorded."""
        new, metrics = self._step(setting, carry, self.data, row, keys, step, told)
        return new, metrics

    def evaluate(self, setting: Setting, carry: Any) -> dict[str, Any]:
        """The metrics of a carry."""
        return dict(self._evaluate(setting, carry))


class Spread(Eager):
    """The jobs of one call, each lane over all devices of a mesh."""

    def __init__(self, mesh: Mesh, *args: Any) -> None:
        self.mesh = mesh
        super().__init__(*args)
        reason = f"parameters or data are spread over {mesh.size} devices, which take one lane after the other"
        self.plan = Plan(1, 1, "host", 1, reason)

    def calls(self, job: Job) -> Calls:
        """What the lanes of a job call."""
        return SpreadCalls(job, self.mesh)

    def outcome(self, name: str) -> Outcome:
        """What came of a job, and where it lay."""
        calls = self.lanes[name][0].calls
        assert isinstance(calls, SpreadCalls)
        return dataclasses.replace(super().outcome(name), shardings=calls.shardings)

    def ends(self, job: Job) -> Iterable[int]:
        """Steps at which all lanes are to be; each batch of an iterable comes once, so all take it before the next one."""
        if job.feed.lockstep:
            return super().ends(job)
        return sorted(step for step in {*job.stops, *job.looks, job.steps} if step > job.first)

    def advance(self, lane: Lane, until: int, beside: int) -> None:
        """Takes a lane to a step, and off the devices where others are to use them."""
        calls, block = lane.calls, lane.block
        assert isinstance(calls, SpreadCalls)
        if block.carry is not None and beside > 1 and not lane.over:
            like, treedef = flatten(calls.like)
            block.carry = treedef.unflatten(calls.placed(jax.tree.leaves(block.carry), like))
        while block.step < until and not lane.over:
            lane.advance()
        if block.carry is not None and beside > 1:
            block.carry = jax.tree.map(to_numpy, block.carry)
            block.best = block.best and [np.asarray(x) for x in block.best]


def _outline(x: Any) -> Any:
    return x if _is_key(x) else jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)


def _is_key(x: Any) -> bool:
    return bool(jnp.issubdtype(x.dtype, jax.dtypes.prng_key))


def _pairs(leaves: Sequence[Any], like: Sequence[Any]) -> list[tuple[Any, Any]]:
    return list(zip(leaves, like, strict=True))

"""The settings, the batches and the jobs of a call."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection
from typing import Any

import jax
import numpy as np

from jopt.engine.data.feeding import feed_of
from jopt.engine.data.sources import Feed
from jopt.engine.job import Job
from jopt.engine.program import Program
from jopt.expanding import expand
from jopt.kinds import Drawn
from jopt.spaces import Settings
from jopt.standing import places
from jopt.sweeps.arguments import Asked, compared
from jopt.sweeps.searching import Part
from jopt.transformation import GradientTransformation
from jopt.values.numbers import Axis
from jopt.values.pairs import as_pair, is_transformation

Jobs = dict[str, Job]  # by the name of the group, behind a "/" the number of a further program in it


def values_of(optimizer: Any) -> dict[str, Any]:
    """The optimizers that are compared, by name, each as a value."""
    return {name: jax.tree.map(_as_value, tree, is_leaf=is_transformation) for name, tree in compared(optimizer).items()}


def job_of(program: Callable[[Feed, Any], Program], given: Any, asked: Asked, feed: Feed, space: Any) -> Job:
    """What has to be computed for the settings of one program."""
    return Job(
        space=space,
        program=program(feed, space.value.optimizer),
        feed=feed,
        seeds=tuple(asked.seeds),
        steps=asked.steps,
        given=given,
        seed=asked.seed,
        eval_steps=tuple(asked.evaluations.tolist()),
        record_every=asked.record_every,
        stops=asked.rungs,
        looks=asked.looks,
        begun=asked.begun,
        keep=asked.keep,
        maximize=asked.maximize,
    )


def of_group(jobs: Collection[str], name: str) -> list[str]:
    """Of the names of jobs those of a group's, one for each of its programs."""
    return [key for key in jobs if key.split("/")[0] == name]


def settings_of(optimizer: Any, asked: Asked, shaping: Collection[Axis], part: Part) -> dict[str, Settings]:
    """The settings of each group; ``samples=`` is for those with drawn axes, or an error if there are none."""
    values = {name: value for name, value in values_of(optimizer).items() if part.includes(name)}
    drawn = {name for name, value in values.items() if any(isinstance(p.axis, Drawn) for p in places((value, asked.hyper)))}
    more = {"hyper": asked.hyper, "batch_size": asked.batch_size, "shaping": shaping}
    samples = {name: asked.samples if name in drawn or not drawn else None for name in values}
    draws = part.draws or {}
    return {name: expand(x, samples[name], asked.seed, draws=draws.get(name), **more) for name, x in values.items()}


class Feeds:
    """The batches of each size, of one copy of the data."""

    def __init__(self, data: Any, asked: Asked, stack: contextlib.ExitStack) -> None:
        self.data, self.asked, self.stack = data, asked, stack
        self.made: list[tuple[Any, Feed]] = []

    def begin_anew(self) -> None:
        """Prepares for further lanes: a new pass over an iterable; arrays are read once."""
        self.made = [(size, feed) for size, feed in self.made if not feed.lockstep]

    def of(self, batch_size: Any) -> Feed:
        """The feed of one batch size."""
        found = next((feed for size, feed in self.made if size == batch_size), None)
        if found is not None:
            return found
        on_device = self.made[0][1].data if self.made else None
        data = on_device if jax.tree.leaves(on_device) else self.data
        asked = self.asked
        made = feed_of(data, batch_size, asked.seed, asked.steps, 0 if asked.begun is None else asked.begun.step)
        feed = self.stack.enter_context(contextlib.closing(made))
        self.made.append((batch_size, feed))
        return feed


def counts(axis: Axis) -> bool:
    """Whether whole numbers are among the values of an axis, and no others."""
    numbers = [x for x in axis.values if isinstance(x, (int, float)) and not isinstance(x, bool)]
    return bool(numbers) and not isinstance(axis, Drawn) and all(isinstance(x, int) for x in numbers)


def own(x: Any) -> Any:
    """A copy of a NumPy array, which the user may change while lanes still start from it."""
    return np.array(x, x.dtype.newbyteorder("=")) if isinstance(x, np.ndarray) else x


def _as_value(pair: Any) -> GradientTransformation:
    """A pair of Optax's as a value without numbers, so that it can be handed to compiled code."""
    return pair if isinstance(pair, GradientTransformation) else GradientTransformation(*as_pair(pair))

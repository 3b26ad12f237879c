"""The batches of a call."""

from __future__ import annotations

import contextlib
from typing import Any

import jax

from jopt.engine.data.feeding import feed_of
from jopt.engine.data.sources import Feed
from jopt.sweeps.arguments import Asked


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

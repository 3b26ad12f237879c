"""Rules that keep a share of the settings at a few steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from jopt.deciding.protocol import Rung
from jopt.values import require

Mode = Literal["min", "max"]


class Rule:
    """What all rules have: what is scored, and a repr of the arguments."""

    def __init__(self, metric: str | None, mode: Mode | None, **arguments: Any) -> None:
        require.one_of("mode", mode, ("min", "max", None), ", or None for the metric's own")
        if metric is not None:
            require.text("metric", metric, ", the name of what is recorded")
        self.metric = metric
        self.mode: Mode | None = mode
        self._arguments = {**arguments, "metric": metric, "mode": mode}

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self._arguments.items() if value is not None)
        return f"{type(self).__name__}({given})"


class TopFraction(Rule):
    """One look: after a share ``at`` of the steps the best share ``keep`` of the settings goes on.

    What ``prune="auto"`` is. Of n settings ⌈n · keep⌉ go on; n counts those that have died by then, too. One look is the
    baseline that other rules have to beat: with it 28 settings take 0.33 of the steps of the full sweep.

    Args:
      at: When: a share of the steps, in (0, 1).
      keep: How many: a share of the settings, in (0, 1).
      metric: What is scored; None: what ranks in ``best()``.
      mode: "min" or "max"; None: the metric's own direction.

    Raises:
      ValueError: For a share outside (0, 1).

    Reference:
      Egele, Mohr, Viering, Balaprakash (2024), "The unreasonable effectiveness of early discarding after one epoch",
      arXiv:2404.04111.

    Example:
      >>> jopt.TopFraction().rungs(900)
      [100]
    """

    def __init__(self, at: float = 1 / 9, keep: float = 1 / 4, metric: str | None = None, mode: Mode | None = None) -> None:
        super().__init__(metric, mode, at=at, keep=keep)
        self.at, self.share = share("at", at), share("keep", keep)

    def rungs(self, steps: int) -> list[int]:
        """One step.

        Args:
          steps: Of the whole run.

        Returns:
          The step, or nothing where it is not before the end.
        """
        return inside([self.at * steps], steps)

    def keep(self, rung: Rung) -> NDArray[np.bool_]:
        """The best settings, [settings].

        Args:
          rung: What there is to see.

        Returns:
          A bool for each setting.
        """
        return _best(rung.mean_scores, rung.running, math.ceil(self.share * len(rung.running)))


class SuccessiveHalving(Rule):
    """At steps ``first``, ``first`` · factor, ``first`` · factor², … the best ``1 / factor`` goes on.

    At the k-th rung, from 1, ⌈n / factorᵏ⌉ of n settings are left. With a rate that decays late, an early look says less than
    it seems: see ``TopFraction``, which it has to beat.

    Args:
      factor: By what settings get fewer and steps get more, more than 1.
      first: When it looks first: a share of the steps, in (0, 1).
      metric: What is scored; None: what ranks in ``best()``.
      mode: "min" or "max"; None: the metric's own direction.

    Raises:
      ValueError: For a factor of at most 1, and a share outside (0, 1).

    Reference:
      Jamieson, Talwalkar (2016), "Non-stochastic best arm identification and hyperparameter optimization", arXiv:1502.07943.

    Example:
      >>> jopt.SuccessiveHalving().rungs(900)
      [100, 300]
    """

    def __init__(self, factor: float = 3, first: float = 1 / 9, metric: str | None = None, mode: Mode | None = None) -> None:
        super().__init__(metric, mode, factor=factor, first=first)
        self.factor, self.first = _factor(factor), share("first", first)

    def rungs(self, steps: int) -> list[int]:
        """Steps that grow by ``factor``.

        Args:
          steps: Of the whole run.

        Returns:
          The steps, ascending.
        """
        return inside([steps * share for share in _powers(self.first, self.factor)], steps)

    def keep(self, rung: Rung) -> NDArray[np.bool_]:
        """The best settings, [settings].

        Args:
          rung: What there is to see.

        Returns:
          A bool for each setting.
        """
        left = math.ceil(len(rung.running) / self.factor ** len(rung.history) - 1e-9)
        return _best(rung.mean_scores, rung.running, left)


class Hyperband(Rule):
    """Several brackets of successive halving side by side, from one that looks early to one that never looks.

    The settings are dealt out to brackets that look first after ``factor``⁻ˢ, …, ``factor``⁻¹ of the steps and never, where s
    is the largest with ``factor``⁻ˢ ≥ ``first``, so that settings which are slow at first have a chance: a bracket with k looks
    gets a share of the settings in proportion to factorᵏ / (k + 1), as in the paper. Each decides about its own.

    Args:
      factor: By what settings get fewer and steps get more, more than 1.
      first: The earliest look: a share of the steps, in (0, 1).
      metric: What is scored; None: what ranks in ``best()``.
      mode: "min" or "max"; None: the metric's own direction.

    Raises:
      ValueError: For a factor of at most 1, and a share outside (0, 1).

    Reference:
      Li, Jamieson, DeSalvo, Rostamizadeh, Talwalkar (2018), "Hyperband: a novel bandit-based approach to hyperparameter
      optimization", arXiv:1603.06560.

    Example:
      >>> jopt.Hyperband().rungs(900)
      [100, 300]
    """

    def __init__(self, factor: float = 3, first: float = 1 / 9, metric: str | None = None, mode: Mode | None = None) -> None:
        super().__init__(metric, mode, factor=factor, first=first)
        self.factor, self.first = _factor(factor), share("first", first)
        self.most = int(math.log(1 / self.first) / math.log(self.factor) + 1e-9)  # looks of the bracket that begins first

    def rungs(self, steps: int) -> list[int]:
        """The steps at which any bracket looks.

        Args:
          steps: Of the whole run.

        Returns:
          The steps, ascending.
        """
        return inside([steps * self.factor**-k for k in range(self.most, 0, -1)], steps)

    def brackets(self, settings: int) -> NDArray[np.int64]:
        """How often the bracket of each setting looks; neighbours are in different ones.

        Args:
          settings: How many.

        Returns:
          Of each setting the looks of its bracket.
        """
        looks = np.arange(self.most + 1)
        shares = self.factor**looks / (looks + 1)
        # The one that is furthest behind its share gets the next setting.
        dealt = np.zeros(len(looks))
        chosen = np.zeros(settings, np.int64)
        for i in range(settings):
            chosen[i] = np.argmax(shares / shares.sum() * (i + 1) - dealt)
            dealt[chosen[i]] += 1
        return chosen

    def keep(self, rung: Rung) -> NDArray[np.bool_]:
        """The best settings of each bracket that looks here, and all of the others, [settings].

        Args:
          rung: What there is to see.

        Returns:
          A bool for each setting.
        """
        kept = rung.running.copy()
        looks = self.brackets(len(kept))
        to_come = len(self.rungs(rung.steps)) - len(rung.history)  # rungs behind this one
        for k in np.unique(looks):
            mine = looks == k
            done = k - to_come  # looks of this bracket, with this one
            if done >= 1:
                left = math.ceil(mine.sum() / self.factor**done - 1e-9)
                kept[mine] = _best(rung.mean_scores[mine], rung.running[mine], left)
        return kept


def _best(scores: NDArray[np.float64], running: NDArray[np.bool_], count: int) -> NDArray[np.bool_]:
    """The ``count`` best of what still runs, one at least; of equal ones the first."""
    order = np.argsort(np.where(running, scores, np.inf), kind="stable")
    kept = np.zeros(len(scores), bool)
    kept[order[: max(1, count)]] = True
    return kept & running


def inside(steps: Sequence[float], end: int) -> list[int]:
    """Whole steps before the end, each once."""
    return sorted({step for x in steps if 1 <= (step := round(x)) < end})


def _powers(first: float, factor: float) -> list[float]:
    return [first * factor**k for k in range(math.ceil(math.log(1 / first) / math.log(factor) - 1e-9))]


def share(name: str, value: Any) -> float:
    """``value`` as a number between 0 and 1; ``ValueError`` where it is none."""
    return require.between(f"{name}, a share,", value, 0.0, 1.0)


def _factor(value: Any) -> float:
    return require.between("factor", value, 1.0, math.inf)

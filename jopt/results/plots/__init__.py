"""Pictures of results. Axes in, axes out; nothing is shown, so the caller decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from jopt.results import scores
from jopt.results.plots.curves import draw_curves, draw_panels
from jopt.results.plots.heatmap import draw_heatmap
from jopt.results.plots.response import draw_compare, draw_response
from jopt.results.record import SweepRecord
from jopt.results.scores import At, Mode

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["GroupPlots", "Plots"]


class Plots:
    """The pictures of one sweep: ``result.plot.curves()``, ``.response()``, ``.heatmap()``, ``.compare()``.

    Each draws into the axes given as ``ax``, or into a new figure, and returns the axes. ``metric``,
    ``mode`` and ``at`` mean what they mean in ``SweepResult.best``, whose errors about them they raise, because each marks the
    best setting.
    """

    def __init__(self, record: SweepRecord) -> None:
        self._record = record

    def _ranking(self, metric: str | None, mode: Mode | None, at: At | None) -> scores.Ranking:
        return scores.ranking([self._record], metric, mode, at)

    def curves(
        self,
        metric: str | None = None,
        mode: Mode | None = None,
        *,
        color: str | None = None,
        ax: Axes | None = None,
    ) -> Axes:
        """A line per setting against the step: mean over seeds, band from lowest to highest.

        Settings that diverged are dashed grey and end in a cross of their own colour; the best at
        the end is drawn on top. The limits are chosen by the settings that did not diverge.

        Args:
          metric: What to draw; None: what ``best`` ranks by.
          mode: "min" or "max": which settings are good; None: as in ``best``.
          color: The hyperparameter that the colours stand for; None: the first with several values.
          ax: The axes to draw into; None: a new figure.

        Returns:
          The axes.
        """
        return draw_curves(self._record, self._ranking(metric, mode, "last"), color, ax)

    def response(
        self,
        metric: str | None = None,
        mode: Mode | None = None,
        at: At | None = None,
        *,
        x: str | None = None,
        ax: Axes | None = None,
    ) -> Axes:
        """The score against one swept number, the other axes at their best value for each.

        The band runs from the lowest to the highest seed; values at which every setting diverged
        have a cross at the edge of the axes.

        Args:
          metric: What to score; None: as in ``best``.
          mode: "min" or "max"; None: as in ``best``.
          at: "last" or "best", as in ``best``.
          x: The hyperparameter; None: the first with several values.
          ax: The axes to draw into; None: a new figure.

        Returns:
          The axes.
        """
        return draw_response(self._record, self._ranking(metric, mode, at), x, ax)

    def heatmap(
        self,
        x: str | None = None,
        y: str | None = None,
        metric: str | None = None,
        mode: Mode | None = None,
        at: At | None = None,
        *,
        ax: Axes | None = None,
    ) -> Axes:
        """The score over two swept numbers, the other axes at their best value for each pair.

        Pairs at which every setting diverged are hatched; the best has a star.

        Args:
          x: The hyperparameter to the right; None: the first axis that is free.
          y: The hyperparameter upwards; None: the next.
          metric: What to score; None: as in ``best``.
          mode: "min" or "max"; None: as in ``best``.
          at: "last" or "best", as in ``best``.
          ax: The axes to draw into; None: a new figure.

        Returns:
          The axes.
        """
        return draw_heatmap(self._record, x, y, self._ranking(metric, mode, at), ax)

    def compare(
        self, metric: str | None = None, mode: Mode | None = None, at: At | None = None, *, ax: Axes | None = None
    ) -> Axes:
        """The response, under the name that it has for several optimizers."""
        return self.response(metric, mode, at, ax=ax)


class GroupPlots:
    """The pictures of a sweep of several optimizers: ``.curves()``, ``.response()`` and ``.compare()``."""

    def __init__(self, records: dict[str, SweepRecord]) -> None:
        self._records = records

    def _ranking(self, metric: str | None, mode: Mode | None, at: At | None) -> scores.Ranking:
        return scores.ranking(self._records.values(), metric, mode, at)

    def curves(
        self,
        metric: str | None = None,
        mode: Mode | None = None,
        *,
        ax: Sequence[Axes] | NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        """The curves of each group in a panel of its own, all with the same vertical axis.

        Args:
          metric: What to draw; None: what ``best`` ranks by.
          mode: "min" or "max": which settings are good; None: as in ``best``.
          ax: As many axes as there are groups; None: a new figure.

        Returns:
          An array of axes, one per group.
        """
        return draw_panels(self._records, self._ranking(metric, mode, "last"), ax)

    def response(
        self,
        metric: str | None = None,
        mode: Mode | None = None,
        at: At | None = None,
        *,
        x: str | None = None,
        ax: Axes | None = None,
    ) -> Axes:
        """The score against the swept number, a line per group; ``x`` is None or swept by all."""
        return draw_compare(self._records, self._ranking(metric, mode, at), x, ax)

    def compare(
        self, metric: str | None = None, mode: Mode | None = None, at: At | None = None, *, ax: Axes | None = None
    ) -> Axes:
        """The response of all of them in one axes."""
        return self.response(metric, mode, at, ax=ax)

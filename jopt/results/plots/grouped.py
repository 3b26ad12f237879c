"""``result.plot`` of a sweep of several optimizers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from jopt.results import scores
from jopt.results.plots.choosing import Top
from jopt.results.plots.curves import Asked, X
from jopt.results.plots.heatmap import heatmap_panels
from jopt.results.plots.panels import curve_panels, rate_panels, rung_panels
from jopt.results.plots.parallel import parallel_panels
from jopt.results.plots.response import draw_compare
from jopt.results.record import SweepRecord
from jopt.results.scores import At, Mode

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class GroupPlots:
    """The pictures of a grouped sweep, a panel for each group, or one for all.

    ``result[name].plot`` has those of one group.
    """

    def __init__(self, records: dict[str, SweepRecord], is_rate: Callable[[str, str], bool]) -> None:
        self._records = records
        self._is_rate = is_rate  # of a group and the name of a number

    def _ranking(self, metric: str | None, mode: Mode | None, at: At | None) -> scores.Ranking:
        return scores.ranking(self._records.values(), metric, mode, at)

    def curves(
        self,
        metric: str | None = None,
        mode: Mode | None = None,
        *,
        top: Top | None = None,
        select: Mapping[str, Any] | None = None,
        smooth: float | None = None,
        x: X = "step",
        color: str | None = None,
        legend: bool = True,
        ax: Sequence[Axes] | NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        """The curves of each group in a panel of its own, all with the same vertical axis.

        Args:
          metric: What to draw; None: what ``best`` ranks by.
          mode: "min" or "max": which settings are good; None: as in ``best``.
          top: Of each group, as in ``Plots.curves``.
          select: Of each group that swept the name, as in ``Plots.curves``.
          smooth: As in ``Plots.curves``.
          x: As in ``Plots.curves``.
          color: As in ``Plots.curves``; groups whose colours stand for the same number share one colour bar.
          legend: Whether each panel has one.
          ax: As many axes as there are groups; None: a new figure.

        Returns:
          An array of axes, one per group.
        """
        asked = Asked.of(top=top, select=select, smooth=smooth, color=color, legend=legend, x=x)
        return curve_panels(self._records, self._ranking(metric, mode, "last"), asked, ax)

    def rate(
        self,
        metric: str | None = None,
        mode: Mode | None = None,
        *,
        top: Top | None = None,
        select: Mapping[str, Any] | None = None,
        color: str | None = None,
        legend: bool = True,
        ax: Sequence[Axes] | NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        """The learning rates of each group as they ran, in a panel of its own; it needs ``record=("rate",)``.

        Args:
          metric: What ranks the settings; None: as in ``best``.
          mode: "min" or "max"; None: as in ``best``.
          top: As in ``curves``.
          select: As in ``curves``.
          color: As in ``curves``.
          legend: Whether each panel has one.
          ax: As many axes as there are groups; None: a new figure.

        Returns:
          An array of axes, one per group.
        """
        asked = Asked.of(top=top, select=select, color=color, legend=legend)
        return rate_panels(self._records, self._ranking(metric, mode, "last"), asked, ax)

    def response(
        self,
        metric: str | None = None,
        mode: Mode | None = None,
        at: At | None = None,
        *,
        x: str | None = None,
        ax: Axes | None = None,
    ) -> Axes:
        """The score against a swept number, a line per group, the other axes at their best value for each.

        Args:
          metric: What to score; None: as in ``best``.
          mode: "min" or "max"; None: as in ``best``.
          at: "last" or "best", as in ``best``.
          x: The hyperparameter, swept by all; None: of each group the first with several values. Where these have several
            names, the axis is called "learning rate" if all are rates; else the legend names them.
          ax: The axes to draw into; None: a new figure.

        Returns:
          The axes.
        """
        return draw_compare(self._records, self._ranking(metric, mode, at), x, self._is_rate, ax)

    def heatmap(
        self,
        x: str | None = None,
        y: str | None = None,
        metric: str | None = None,
        mode: Mode | None = None,
        at: At | None = None,
        *,
        ax: Sequence[Axes] | NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        """The heat map of each group in a panel of its own, with colours of its own; see ``Plots.heatmap``.

        Args:
          x: The hyperparameter to the right, swept by all; None: of each group the first axis that is free.
          y: The hyperparameter upwards; None: the next.
          metric: What to score; None: as in ``best``.
          mode: "min" or "max"; None: as in ``best``.
          at: "last" or "best", as in ``best``.
          ax: As many axes as there are groups; None: a new figure.

        Returns:
          An array of axes, one per group.

        Raises:
          ValueError: For a group with fewer than two axes, or a name that a group did not sweep.
        """
        return heatmap_panels(self._records, x, y, self._ranking(metric, mode, at), ax)

    def parallel(
        self,
        metric: str | None = None,
        mode: Mode | None = None,
        at: At | None = None,
        *,
        ax: Sequence[Axes] | NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        """Parallel coordinates of each group in a panel of its own, all with the same colours; see ``Plots.parallel``.

        Args:
          metric: What to score; None: as in ``best``.
          mode: "min" or "max"; None: as in ``best``.
          at: "last" or "best", as in ``best``.
          ax: As many axes as there are groups; None: a new figure.

        Returns:
          An array of axes, one per group.

        Raises:
          ValueError: For a group of one setting, which has no axes.
        """
        return parallel_panels(self._records, self._ranking(metric, mode, at), ax)

    def rungs(
        self,
        metric: str | None = None,
        mode: Mode | None = None,
        *,
        color: str | None = None,
        legend: bool = True,
        ax: Sequence[Axes] | NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        """The rungs of each group in a panel of its own, all with the same vertical axis; see ``Plots.rungs``.

        Args:
          metric: What to draw; None: what ``best`` ranks by.
          mode: "min" or "max": which settings are good; None: as in ``best``.
          color: The hyperparameter that the colours stand for, of each group that swept it.
          legend: Whether each panel has one.
          ax: As many axes as there are groups; None: a new figure.

        Returns:
          An array of axes, one per group.

        Raises:
          ValueError: Where nothing was pruned in any group.
        """
        asked = Asked.of(color=color, legend=legend)
        return rung_panels(self._records, self._ranking(metric, mode, "last"), asked, ax)

    def compare(
        self, metric: str | None = None, mode: Mode | None = None, at: At | None = None, *, ax: Axes | None = None
    ) -> Axes:
        """The response of all of them in one axes."""
        return self.response(metric, mode, at, ax=ax)

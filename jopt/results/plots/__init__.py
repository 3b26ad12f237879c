"""Pictures of results. Axes in, axes out; nothing is shown, so the caller decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from jopt.results import scores
from jopt.results.plots.choosing import Top
from jopt.results.plots.curves import Asked, draw_curves, draw_panels, draw_rate
from jopt.results.plots.heatmap import draw_heatmap
from jopt.results.plots.response import draw_compare, draw_response
from jopt.results.record import SweepRecord
from jopt.results.scores import At, Mode

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["GroupPlots", "Plots"]


class Plots:
    """The pictures of one sweep: ``result.plot.curves()``, ``.rate()``, ``.response()``, ``.heatmap()``, ``.compare()``.

    Each draws into the axes given as ``ax``, or into a new figure, and returns the axes. ``metric``,
    ``mode`` and ``at`` mean what they mean in ``SweepResult.best``, whose errors about them they raise, because each marks the
    best setting. Legends stand outside of the data; in axes of your own they do where the figure makes room for them
    (``plt.subplots(layout="constrained")``). Names are shown as they are, a "$" or a leading "_" too.
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
        top: Top | None = None,
        select: Mapping[str, Any] | None = None,
        smooth: float | None = None,
        color: str | None = None,
        legend: bool = True,
        ax: Axes | None = None,
    ) -> Axes:
        """A value against the step, a line per setting: the mean over seeds, with a band from the lowest to the highest.

        Of more than seven settings five are shown: the best, the quartiles and the worst of those that did not diverge.
        Settings that diverged have a cross where they left the picture or became infinite, a few of them with the dashed
        line that leads there. The best is red and on top. Limits are chosen by the settings that did not diverge.
        More than seven lines have no bands, and colours that stand for one hyperparameter.

        Args:
          metric: What to draw; None: what ``best`` ranks by.
          mode: "min" or "max": which settings are good; None: as in ``best``.
          top: How many of the best to show, and nothing else; "all": every setting.
          select: Which settings to show, by the values of their axes: ``{"b1": 0.9}``, ``{"b1": [0.9, 0.99]}``, or
            ``{"learning_rate": slice(1e-3, 1e-2)}`` with both ends. Numbers are found as the pictures show them, in three
            digits. All that are selected are shown, or with ``top`` the best of them.
          smooth: A whole number of records that each point is the mean of, itself and those before it; or a number between
            0 and 1, the weight of the past in an exponential mean (as in TensorBoard). The raw line lies faint behind, and
            the label says how it was smoothed.
          color: The hyperparameter that the colours stand for; None: the first with several values.
          legend: Whether to draw one.
          ax: The axes to draw into; None: a new figure.

        Returns:
          The axes.

        Raises:
          ValueError: For a name or value that was not swept, a ``top`` under 1, or a ``smooth`` that is neither.

        Example:
          >>> result = jopt.sweep(lambda x, _: (x**2).sum(), jnp.ones(2), jopt.sgd(jopt.geomspace(0.01, 1.0, 9)), steps=5)
          >>> len(result.plot.curves(top=3).lines)
          3
        """
        asked = Asked(top, select, smooth, color, legend)
        return draw_curves(self._record, self._ranking(metric, mode, "last"), asked, ax)

    def rate(
        self,
        metric: str | None = None,
        mode: Mode | None = None,
        *,
        top: Top | None = None,
        select: Mapping[str, Any] | None = None,
        color: str | None = None,
        legend: bool = True,
        ax: Axes | None = None,
    ) -> Axes:
        """The learning rate as it ran, what schedule and plateau made of it, of the settings that ``curves`` shows.

        It needs a sweep with ``record=("rate",)``.

        Args:
          metric: What ranks the settings; None: as in ``best``.
          mode: "min" or "max"; None: as in ``best``.
          top: As in ``curves``.
          select: As in ``curves``.
          color: As in ``curves``.
          legend: Whether to draw one.
          ax: The axes to draw into; None: a new figure.

        Returns:
          The axes.

        Raises:
          ValueError: Where the rate was not recorded, and as ``curves`` does.
        """
        asked = Asked(top, select, None, color, legend)
        return draw_rate(self._record, self._ranking(metric, mode, "last"), asked, ax)

    def response(
        self,
        metric: str | None = None,
        mode: Mode | None = None,
        at: At | None = None,
        *,
        x: str | None = None,
        color: str | None = None,
        ax: Axes | None = None,
    ) -> Axes:
        """The score against one swept number, the other axes at their best value for each.

        The band runs from the lowest to the highest seed; values at which every setting diverged
        have a cross at the edge of the axes. Settings that were drawn (``loguniform``, ``uniform``) are points, coloured by
        another number that was drawn with the first. Zero has a place of its own on a logarithmic axis.

        Args:
          metric: What to score; None: as in ``best``.
          mode: "min" or "max"; None: as in ``best``.
          at: "last" or "best", as in ``best``.
          x: The hyperparameter; None: the first with several values.
          color: Of drawn settings the number that colours stand for; None: the first that is not ``x``.
          ax: The axes to draw into; None: a new figure.

        Returns:
          The axes.

        Raises:
          ValueError: For a name that was not swept, or a ``color`` that was not drawn together with ``x``.
        """
        return draw_response(self._record, self._ranking(metric, mode, at), x, color, ax)

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
    """The pictures of a sweep of several optimizers: ``.curves()``, ``.rate()``, ``.response()`` and ``.compare()``."""

    def __init__(self, records: dict[str, SweepRecord]) -> None:
        self._records = records

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
          color: As in ``Plots.curves``; groups whose colours stand for the same number share one colour bar.
          legend: Whether each panel has one.
          ax: As many axes as there are groups; None: a new figure.

        Returns:
          An array of axes, one per group.
        """
        asked = Asked(top, select, smooth, color, legend)
        return draw_panels(self._records, self._ranking(metric, mode, "last"), asked, ax)

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
        asked = Asked(top, select, None, color, legend)
        return draw_panels(self._records, self._ranking(metric, mode, "last"), asked, ax, rate=True)

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

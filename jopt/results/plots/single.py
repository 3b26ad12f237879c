"""``result.plot`` of a sweep of one optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jopt.results import scores
from jopt.results.plots.choosing import Top
from jopt.results.plots.curves import Asked, X, draw_curves, draw_rate
from jopt.results.plots.heatmap import draw_heatmap
from jopt.results.plots.parallel import draw_parallel
from jopt.results.plots.response import draw_response
from jopt.results.plots.rungs import draw_rungs
from jopt.results.record import SweepRecord
from jopt.results.scores import At, Mode

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Plots:
    """The pictures of one sweep: ``.curves()``, ``.rate()``, ``.response()``, ``.heatmap()``, ``.parallel()``, ``.rungs()``.

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
        x: X = "step",
        color: str | None = None,
        legend: bool = True,
        ax: Axes | None = None,
    ) -> Axes:
        """A value against the step, a line per setting: the mean over seeds, with a band from the lowest to the highest.

        Of more than seven settings five are shown: the best, the quartiles and the worst of those that did not diverge.
        Settings that diverged have a cross where they left the picture or became infinite, a few of them with the dashed
        line that leads there. The best is red and on top. Limits are chosen by the settings that did not diverge.
        More than seven lines have no bands, and colours that stand for one hyperparameter; where several lines have one colour,
        their dashes stand for another that has up to four values, and the legend says what is not told apart. A triangle at
        the frame marks where a line goes on beyond it. The legend's title says how many settings are shown, and what was
        selected.

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
          x: "step", or where batch sizes were swept "examples_seen", which compares them by the data that they used.
          color: The hyperparameter that the colours stand for; None: the first with several values.
          legend: Whether to draw one.
          ax: The axes to draw into; None: a new figure.

        Returns:
          The axes.

        Raises:
          ValueError: For a name or value that was not swept, a ``top`` under 1, a ``smooth`` that is neither, and examples seen
            where batch sizes were not swept.

        Example:
          >>> result = jopt.sweep(lambda x, _: (x**2).sum(), jnp.ones(2), jopt.sgd(jopt.geomspace(0.01, 1.0, 9)), steps=5)
          >>> len(result.plot.curves(top=3).lines)
          3
        """
        asked = Asked.of(top=top, select=select, smooth=smooth, color=color, legend=legend, x=x)
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

        Where the seeds of a setting differ, as with a plateau, each has a thin line of its own: none ran at their mean.
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
        asked = Asked.of(top=top, select=select, color=color, legend=legend)
        return draw_rate(self._record, self._ranking(metric, mode, "last"), asked, ax)

    def response(
        self,
        metric: str | None = None,
        mode: Mode | None = None,
        at: At | None = None,
        *,
        x: str | None = None,
        color: str | None = None,
        suggestion: bool = True,
        ax: Axes | None = None,
    ) -> Axes:
        """The score against one swept number, the other axes at their best value for each.

        The band runs from the lowest to the highest seed; values at which every setting diverged
        have a cross at the edge of the axes, and a triangle marks where scores lie beyond it. Settings that were drawn
        (``loguniform``, ``uniform``) are points, with a bar for the band, coloured by another number that was drawn with the
        first, if any. The axis is linear or logarithmic as ``SweepResult.suggest`` says; zero has a place of its own on a
        logarithmic one.

        Behind a number that has an order and three scores at least stands what ``suggest`` makes of it: the value, its interval
        as a band, the parabola and Akima's curve whose minima it lies between (on the logarithm of scores that have ratios),
        the values within 5 % of the best as a bar at the edge, and shaded where runs diverge. All of it is of the curve
        through the best setting, the other numbers as there; rings show its points where the line has others.

        Args:
          metric: What to score; None: as in ``best``.
          mode: "min" or "max"; None: as in ``best``.
          at: "last" or "best", as in ``best``.
          x: The hyperparameter; None: the first with several values.
          color: Of drawn settings the number that colours stand for; None: the first that is not ``x``.
          suggestion: Whether to show it.
          ax: The axes to draw into; None: a new figure.

        Returns:
          The axes.

        Raises:
          ValueError: For a name that was not swept, or a ``color`` that was not drawn together with ``x``.
        """
        return draw_response(self._record, self._ranking(metric, mode, at), x, color, suggestion, ax)

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

    def parallel(
        self, metric: str | None = None, mode: Mode | None = None, at: At | None = None, *, ax: Axes | None = None
    ) -> Axes:
        """Parallel coordinates: an axis for each swept number, a line for each setting, which ends at its score.

        For any number of axes. Each is linear or logarithmic as ``SweepResult.suggest`` says; what is no number has its name
        for a tick. Where there are few values, the lines through each are spread a little, by score.
        Good scores are dark and on top, the best is red; what is worse than before training is drawn at the edge.

        The colour bar at the right is the axis of the scores, and says when they are from; settings without one end before it:
        with a dashed line and a cross what diverged, with a dot what was pruned.

        Args:
          metric: What to score; None: as in ``best``.
          mode: "min" or "max"; None: as in ``best``.
          at: "last" or "best", as in ``best``.
          ax: The axes to draw into; None: a new figure.

        Returns:
          The axes.

        Raises:
          ValueError: For a sweep of one setting, which has no axes.

        Example:
          >>> optimizer = jopt.sgd(jopt.geomspace(0.01, 1.0, 5), momentum=jopt.choice(0.0, 0.9))
          >>> result = jopt.sweep(lambda x, _: (x**2).sum(), jnp.ones(2), optimizer, steps=5, progress=False)
          >>> [tick.get_text() for tick in result.plot.parallel().get_xticklabels()]
          ['learning rate', 'momentum']
        """
        return draw_parallel(self._record, self._ranking(metric, mode, at), ax)

    def rungs(
        self,
        metric: str | None = None,
        mode: Mode | None = None,
        *,
        color: str | None = None,
        legend: bool = True,
        ax: Axes | None = None,
    ) -> Axes:
        """The curves of a pruned sweep: each up to the rung at which its setting was pruned.

        Over the axes stands how many settings train between the rungs; a dot ends what was pruned, the lines of what was kept
        are thicker and up to seven named, and the title of the legend says what was saved. A setting of which one seed was
        pruned is out, as in ``best``.

        Args:
          metric: What to draw; None: what ``best`` ranks by.
          mode: "min" or "max": which settings are good; None: as in ``best``.
          color: The hyperparameter that the colours stand for; None: the first with several values.
          legend: Whether to draw one.
          ax: The axes to draw into; None: a new figure.

        Returns:
          The axes.

        Raises:
          ValueError: Where nothing was pruned.

        Example:
          >>> rates = jopt.cosine_decay_schedule(jopt.geomspace(0.01, 0.4, 8), 45)
          >>> options = {"steps": 45, "prune": "auto", "progress": False}
          >>> result = jopt.sweep(lambda x, _: (x**2).sum(), jnp.ones(2), jopt.sgd(rates), **options)
          >>> result.plot.rungs().get_legend().get_title().get_text()
          'saved 67% of 360 lane-steps'
        """
        asked = Asked.of(color=color, legend=legend)
        return draw_rungs(self._record, self._ranking(metric, mode, "last"), asked, ax)

    def compare(
        self, metric: str | None = None, mode: Mode | None = None, at: At | None = None, *, ax: Axes | None = None
    ) -> Axes:
        """The response, under the name that it has for several optimizers."""
        return self.response(metric, mode, at, ax=ax)

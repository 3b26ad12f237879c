"""Pictures of results. Axes in, axes out; nothing is shown, so the caller decides."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from .. import scores
from ..record import SweepRecord
from ..scores import At, Mode
from .curves import draw_curves, draw_panels
from .heatmap import draw_heatmap
from .response import draw_compare, draw_response

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["GroupPlots", "Plots"]


class Plots:
    """The pictures of one sweep: `result.plot.curves()`, `.response()`, `.heatmap()`, `.compare()`.

    Each draws into the axes given as `ax`, or into a new figure, and returns the axes. `metric`,
    `mode` and `at` mean what they mean in `SweepResult.best`, whose errors about them they raise, because each marks the
    best setting.
    """

    def __init__(self, record: SweepRecord) -> None:
        self._record = record

    def _ranking(self, metric: str | None, mode: Mode | None, at: At) -> scores.Ranking:
        return scores.ranking([self._record], metric, mode, at)

    def curves(
        self,
        metric: str | None = None,
        mode: Mode | None = None,
        *,
        color: str | None = None,
        ax: "Axes | None" = None,
    ) -> "Axes":
        """A line per setting against the step: mean over seeds, band from lowest to highest.

        Settings that diverged are dashed grey and end in a cross of their own colour; the best at
        the end is drawn on top. The limits are chosen by the settings that did not diverge.

        Args:
          metric: what to draw; None: what `best` ranks by.
          mode: "min" or "max": which settings are good; None: as in `best`.
          color: the hyperparameter that the colours stand for; None: the first with several values.
          ax: the axes to draw into; None: a new figure.

        Returns:
          The axes.
        """
        return draw_curves(self._record, self._ranking(metric, mode, "last"), color, ax)

    def response(
        self,
        metric: str | None = None,
        mode: Mode | None = None,
        at: At = "last",
        *,
        x: str | None = None,
        ax: "Axes | None" = None,
    ) -> "Axes":
        """The score against one swept number, the other axes at their best value for each.

        The band runs from the lowest to the highest seed; values at which every setting diverged
        have a cross at the edge of the axes.

        Args:
          metric: what to score; None: as in `best`.
          mode: "min" or "max"; None: as in `best`.
          at: "last" or "best".
          x: the hyperparameter; None: the first with several values.
          ax: the axes to draw into; None: a new figure.

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
        at: At = "last",
        *,
        ax: "Axes | None" = None,
    ) -> "Axes":
        """The score over two swept numbers, the other axes at their best value for each pair.

        Pairs at which every setting diverged are hatched; the best has a star.

        Args:
          x: the hyperparameter to the right; None: the first axis that is free.
          y: the hyperparameter upwards; None: the next.
          metric: what to score; None: as in `best`.
          mode: "min" or "max"; None: as in `best`.
          at: "last" or "best".
          ax: the axes to draw into; None: a new figure.

        Returns:
          The axes.
        """
        return draw_heatmap(self._record, x, y, self._ranking(metric, mode, at), ax)

    def compare(
        self, metric: str | None = None, mode: Mode | None = None, at: At = "last", *, ax: "Axes | None" = None
    ) -> "Axes":
        """The response; in a sweep of several optimizers, of all of them in one axes."""
        return self.response(metric, mode, at, ax=ax)


class GroupPlots(Plots):
    """The pictures of a sweep of several optimizers."""

    def __init__(self, records: dict[str, SweepRecord]) -> None:
        self._records = records

    def _ranking(self, metric: str | None, mode: Mode | None, at: At) -> scores.Ranking:
        return scores.ranking(self._records.values(), metric, mode, at)

    def curves(  # type: ignore[override]  # a panel per group
        self,
        metric: str | None = None,
        mode: Mode | None = None,
        *,
        ax: "Sequence[Axes] | NDArray[Any] | None" = None,
    ) -> NDArray[Any]:
        """The curves of each group in a panel of its own, all with the same vertical axis.

        Args:
          metric: what to draw; None: what `best` ranks by.
          mode: "min" or "max": which settings are good; None: as in `best`.
          ax: as many axes as there are groups; None: a new figure.

        Returns:
          An array of axes, one per group.
        """
        return draw_panels(self._records, self._ranking(metric, mode, "last"), ax)

    def response(
        self,
        metric: str | None = None,
        mode: Mode | None = None,
        at: At = "last",
        *,
        x: str | None = None,
        ax: "Axes | None" = None,
    ) -> "Axes":
        """The score against the swept number, a line per group; `x` is None or swept by all."""
        return draw_compare(self._records, self._ranking(metric, mode, at), x, ax)

    def heatmap(self, *_: Any, **__: Any) -> "Axes":
        """Not defined over groups: choose one."""
        name = next(iter(self._records))
        raise TypeError(f"choose a group for a heat map: result[{name!r}].plot.heatmap()")

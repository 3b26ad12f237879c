"""A schedule, or the learning rate of an optimizer, against the step: a line per setting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jopt.expanding import expand
from jopt.kinds import Drawn
from jopt.rates import RATE
from jopt.results import text
from jopt.results.plots import style
from jopt.results.plots.scales import scale_of
from jopt.schedules import Schedule, as_time
from jopt.values.binding import Bound, is_value
from jopt.values.names import key_name, shortened
from jopt.values.numbers import whole
from jopt.values.pairs import is_transformation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS = 10_000  # at most so many steps are worked out and drawn
WITHOUT_COUNTS = 1000  # steps shown of a schedule that has no step counts
STYLES = ("-", "--", ":", "-.")
COUNTS = ("steps", "boundaries", "begin", "step_size", "step_size_up", "step_size_down")  # ends of the names of step counts
FEW = 6  # lines that a legend inside the axes names


class Setting(NamedTuple):
    """One line of the picture: one of the rates, in one setting of its axes."""

    rate: int
    setting: int
    label: str
    value: Any

    def at(self, t: NDArray[Any]) -> NDArray[Any]:
        """The values at some steps."""
        rate = self.value
        values = jax.vmap(lambda step: as_time(rate(step) if callable(rate) else rate))(jnp.asarray(t))
        return np.asarray(values, np.float64)


def plot_schedule(schedule: Any, steps: int | None = None, *, ax: Axes | None = None) -> Axes:
    """Draws a schedule, or the learning rate of an optimizer, against the step.

    A schedule with axes in it is drawn once for each of their settings, each line with its label; an optimizer with several
    learning rates has a line for each. The scale is logarithmic where the highest values of the lines are decades apart.

    Args:
      schedule: A schedule (any function of the step), or an optimizer of jopt's.
      steps: How many steps; None: as many as the step counts of the schedule add up to, four times as many where it goes on
        changing behind them, 1000 where it has none.
      ax: The axes to draw into; None: a new figure.

    Returns:
      The axes.

    Raises:
      TypeError: For something that is neither a schedule nor an optimizer.
      ValueError: For an optimizer without a learning rate, a drawn axis, or ``steps`` under 1.
      ImportError: Without matplotlib.

    Example:
      >>> ax = jopt.plot_schedule(jopt.sgd(jopt.rex_schedule(jopt.choice(0.1, 0.2), 100)))
      >>> [line.get_label() for line in ax.lines]
      ['init_value=0.1', 'init_value=0.2']
    """
    rates = _rates(schedule)
    settings = [setting for i, name in enumerate(rates) for setting in _settings(i, name, rates)]
    count = 1 + max(map(_end, settings)) if steps is None else whole("plot_schedule: steps", steps)
    t = np.unique(np.linspace(0, count - 1, min(count, POINTS)).astype(int))
    ax = style.axes(ax, 7.0 if len(settings) <= FEW else 9.0)
    _draw(ax, t, settings)
    ax.set(xlabel="step", ylabel="value" if list(rates) == ["schedule"] else "learning rate")
    return ax


def _rates(schedule: Any) -> dict[str, Any]:
    """What is drawn by name: the schedule, or the learning rates of the optimizer by their paths."""
    if is_transformation(schedule):
        found = dict(_learning_rates(schedule.bound)) if is_value(schedule) else {}
        rates = shortened(found, lambda step: step == RATE)
        if not rates:
            raise ValueError(
                f"plot_schedule: {schedule!r} has no learning_rate of jopt's; give the schedule itself, "
                f"plot_schedule(jopt.linear_schedule(...)), or an optimizer of jopt's, jopt.adam(schedule)."
            )
        return rates
    if isinstance(schedule, Schedule) or (callable(schedule) and not isinstance(schedule, type)):
        return {"schedule": schedule}
    raise TypeError(
        f"plot_schedule takes a schedule (a function of the step) or an optimizer, but got {type(schedule).__name__}."
    )


def _learning_rates(bound: Bound, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """The learning rates among the arguments, and those of the optimizers among them, each with its path."""
    for name, argument in bound.arguments().items():
        for keys, leaf in jax.tree_util.tree_flatten_with_path(argument, is_leaf=is_value)[0]:
            below = (*path, name, *map(key_name, keys))
            if name == RATE:
                yield ".".join(below), leaf
            elif is_value(leaf) and not isinstance(leaf, Schedule):
                yield from _learning_rates(leaf.bound, below)


def _settings(i: int, name: str, rates: dict[str, Any]) -> list[Setting]:
    """One of the rates in each of the settings of its axes."""
    drawn = [leaf for leaf in jax.tree.leaves(rates[name]) if isinstance(leaf, Drawn)]
    if drawn:
        raise ValueError(
            f"plot_schedule: {drawn[0]!r} is drawn in a sweep and has no values yet; put a grid in its place, "
            f"jopt.geomspace(...) or jopt.choice(...)."
        )
    space = expand({name: rates[name]})
    labels = [[name] if len(rates) > 1 or not space.shape else [] for _ in range(space.size)]
    for dimension, places in zip(space.dimensions, np.indices(space.shape).reshape(-1, space.size), strict=True):
        for k, place in enumerate(places):
            labels[k] += [text.setting({member: values[place]}) for member, _, values in dimension.members]
    return [Setting(i, k, ", ".join(label), space.at(k)[name]) for k, label in enumerate(labels)]


def _end(line: Setting) -> int:
    """The step after which it has settled, or four times its step counts."""
    counts = _counts(line.value.bound) if isinstance(line.value, Schedule) else 0.0
    if not counts:
        return WITHOUT_COUNTS
    # Odd places, since what comes again may be where it was after one of its own counts.
    probes = np.minimum(counts * (1.0 + 0.37 * np.arange(9)), 2.0**31 - 1)
    values = line.at(probes.astype(int))
    settled = np.allclose(values, values[0], rtol=1e-6, atol=0.0)
    return int(min(counts if settled else 4 * counts, 2.0**31 - 2))


def _counts(bound: Bound) -> float:
    """The sum of all step counts among the numbers of a schedule, known by their names."""
    return sum(float(np.sum(x)) for path, x in zip(bound.spec.paths, bound.leaves, strict=True) if _is_count(path))


def _is_count(path: str) -> bool:
    names = [part for part in path.split(".") if not part.isdigit()]  # the boundaries of a table are numbered
    return names[-1].endswith(COUNTS)


def _draw(ax: Axes, t: NDArray[Any], lines: list[Setting]) -> None:
    most = max(line.setting for line in lines)
    cmap = style.colormap()
    peaks = []
    for line in lines:
        color = style.GROUPS[line.setting] if most < FEW else cmap(line.setting / most)
        values = line.at(t)
        ax.plot(t, values, STYLES[line.rate % len(STYLES)], color=color, lw=1.5, label=line.label)
        peaks.append(np.max(values))
    if scale_of(np.array(peaks)).kind == "log":
        ax.set_yscale("log")
        ax.set_ylim(float(min(peaks)) / 100, float(max(peaks)) * 1.5)  # a line that ends at 0 leaves at the bottom
    if len(lines) > FEW:
        ax.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5), ncols=-(-len(lines) // 20))
    elif len(lines) > 1:
        ax.legend(fontsize="small", framealpha=0.85)

"""Several optimizers compared over seeds, each at its own best setting."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jopt.results import caveats, scores, text
from jopt.results.page.expression import expression
from jopt.results.trial import Trial

if TYPE_CHECKING:
    import pandas as pd

LONGEST = 100  # characters of an optimizer that stands for the setting of a group that has one only


class Difference(NamedTuple):
    """How much higher a group scores than the one that it is compared with.

    Attributes:
      mean: Mean over seeds of its scores, minus that of the other's.
      low: The lower end of the interval; NaN where there is none.
      high: The upper end.
      how: How the interval was made, or why there is none.
    """

    mean: float
    low: float
    high: float
    how: str


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Several optimizers beside one of them, each at its own best setting: what ``GroupedResult.compare`` returns.

    ``str()`` is a table, a row for each group, the best first; notebooks show it as one too.

    Attributes:
      trials: Group -> its best setting, the best group first; without the groups none of whose settings is fit to be ranked.
      differences: Group -> its difference to ``against``; without that one.
      against: The group that the others are compared with.
      missing: The groups that have no best setting.
      ranked: What was scored.
      confidence: Of the intervals.
      warnings: What speaks against the comparison, sentences: groups whose best value of a number is at an end of its axis,
        beyond which a better one may lie; empty: nothing.
      pace: Whether equal steps were equal time, in a sentence; "" where groups did not do the same steps.
    """

    trials: Mapping[str, Trial]
    differences: Mapping[str, Difference]
    against: str
    missing: tuple[str, ...]
    ranked: scores.Ranking
    confidence: float
    warnings: tuple[str, ...] = ()
    pace: str = ""

    def to_pandas(self) -> pd.DataFrame:
        """A row per group: group, setting, score, spread, seeds, difference, low, high, how."""
        import pandas as pd

        rows = []
        for group, trial in self.trials.items():
            found = self.differences.get(group, Difference(0.0, math.nan, math.nan, "compared with"))
            own = {"group": group, "setting": _setting(trial), "score": trial.score, "spread": trial.spread}
            beside = {"difference": found.mean, "low": found.low, "high": found.high, "how": found.how}
            rows.append({**own, "seeds": len(trial.scores), **beside})
        return pd.DataFrame(rows)

    def __str__(self) -> str:
        """The table, what it shows, and how far to trust it."""
        header, rows = self._cells()
        return text.printable("\n".join([self._title(), text.aligned(header, rows), *self._notes()]))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        header, rows = self._cells()

        def row(cells: Sequence[str], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

        table = "".join([row(header, "th"), *(row(cells, "td") for cells in rows)])
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self._notes())
        return f"<p>{html.escape(self._title())}</p><table>{table}</table>{notes}"

    def _title(self) -> str:
        record = self.trials[self.against].result.record
        better = "lower" if self.ranked.mode == "min" else "higher"
        scored = f"{self.ranked.metric} ({scores.moment(record, self.ranked)})"
        return f"{scored}, the {better} the better; compared with {self.against}"

    def _cells(self) -> tuple[list[str], list[list[str]]]:
        header = ["group", "best", self.ranked.metric, "difference", f"{100 * self.confidence:g} % interval", ""]
        rows = []
        for group, trial in self.trials.items():
            score = text.spread(trial.score, trial.spread, len(trial.scores))
            rows.append([group, _setting(trial), score, *self._difference(group)])
        return header, rows + [[group, "none", "-", "-", "-", "diverged, or no finite score"] for group in self.missing]

    def _difference(self, group: str) -> list[str]:
        if group == self.against:
            return ["-", "-", ""]
        found = self.differences[group]
        interval = "-" if math.isnan(found.low) else f"{found.low:+.3g} to {found.high:+.3g}"
        return [f"{found.mean:+.3g}", interval, found.how]

    def _notes(self) -> list[str]:
        if any(not math.isnan(found.low) for found in self.differences.values()):
            trust = caveats.chosen(self.trials)
        else:
            trust = "One seed does not tell a difference from chance: sweep with seeds=5, say." if self.differences else ""
        return [*(f"{each}." for each in self.warnings), *filter(None, (trust, self.pace))]


def compare(trials: Mapping[str, Trial | None], ranked: scores.Ranking, against: str | None, confidence: float) -> Comparison:
    """The comparison of the best settings of some groups, at least one of which has one."""
    found = {group: trial for group, trial in trials.items() if trial is not None}
    sign = 1 if ranked.mode == "min" else -1
    order = dict(sorted(found.items(), key=lambda pair: sign * pair[1].score))
    other = next(iter(order)) if against is None else against
    differences = {group: _difference(trial, order[other], confidence) for group, trial in order.items() if group != other}
    missing = tuple(group for group in trials if group not in found)
    warnings, pace = caveats.edges(order, ranked), caveats.pace(order, other)
    return Comparison(order, differences, other, missing, ranked, confidence, warnings, pace)


def _setting(trial: Trial) -> str:
    """What was swept in it; of the only setting of a group the optimizer, as far as that is known."""
    if trial.setting:
        return text.setting(trial.setting)
    try:
        line = expression(trial.optimizer)
    except ValueError:  # of a file that could not hold it
        line = None
    if line is None:
        return text.setting({})
    line = line.replace("jopt.", "")
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 3]}..."


def _difference(one: Trial, other: Trial, confidence: float) -> Difference:
    mine, theirs = one.result.record.seeds, other.result.record.seeds
    mean = one.score - other.score
    fewest = min(len(mine), len(theirs))
    if fewest < 2:
        return Difference(mean, math.nan, math.nan, "one seed: no interval")
    if set(mine.tolist()) == set(theirs.tolist()):
        apart = one.scores[np.argsort(mine)] - other.scores[np.argsort(theirs)]
        low, high = _interval(apart.mean(), [apart], confidence)
        return Difference(mean, low, high, f"paired over {len(apart)} seeds")
    low, high = _interval(mean, [one.scores, other.scores], confidence)
    return Difference(mean, low, high, f"Welch, {len(mine)} and {len(theirs)} seeds")


def _interval(mean: float, samples: Sequence[NDArray[np.float64]], confidence: float) -> tuple[float, float]:
    """Student's interval for a mean, or Welch's for the difference of two; a point where nothing varies."""
    from scipy.stats import t

    with np.errstate(over="ignore", invalid="ignore"):
        parts = np.array([np.var(sample, ddof=1) / len(sample) for sample in samples])
    total = float(parts.sum())
    if not 0.0 < total < math.inf:
        return (float(mean), float(mean)) if total == 0.0 else (-math.inf, math.inf)
    freedom = 1 / sum((part / total) ** 2 / (len(sample) - 1) for part, sample in zip(parts, samples, strict=True))
    half = float(t.ppf(0.5 + confidence / 2, freedom)) * math.sqrt(total)
    return float(mean) - half, float(mean) + half

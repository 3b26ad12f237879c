"""What there is to say about a sweep under way, as one line."""

from __future__ import annotations

import dataclasses
import sys
import unicodedata

SHORTEST = 12  # columns below which a setting that is cut says nothing


@dataclasses.dataclass(frozen=True)
class Best:
    """The best setting so far.

    Attributes:
      rank: Its score, as something that is better the lower it is.
      setting: "learning_rate=0.0032", in a sweep of several optimizers behind the name of one.
      score: "val_loss 0.012".
    """

    rank: float
    setting: str
    score: str


@dataclasses.dataclass(frozen=True)
class Facts:
    """How far a sweep is.

    Attributes:
      alive: Lanes that have not come to an end.
      done: Lanes that have done all steps, or were stopped by a rule for which that is their end.
      pruned: Lanes that were taken out.
      dead: Lanes that stopped since a parameter was not finite.
      lane_steps: Steps done, of all lanes together.
      to_do: Lane-steps to come, without those of lanes that the pruner will stop, as far as its rungs tell.
      run_s: Seconds in which lanes ran, those of compiling not counted.
      left_s: Seconds to come; None: nobody knows yet.
      compiling_s: For how many seconds something has been compiled now.
      best: None: nothing can be ranked.
    """

    alive: int = 0
    done: int = 0
    pruned: int = 0
    dead: int = 0
    lane_steps: int = 0
    to_do: float = 0.0
    run_s: float = 0.0
    left_s: float | None = None
    compiling_s: float = 0.0
    best: Best | None = None

    @property
    def pace(self) -> float:
        """Lane-steps per second; 0: nobody knows yet."""
        return self.lane_steps / self.run_s if self.run_s > 0 else 0.0

    def and_before(self, before: Facts) -> Facts:
        """These facts, and those of what the same call did before."""
        counts = {name: getattr(self, name) + getattr(before, name) for name in ("alive", "done", "pruned", "dead")}
        best = min((each.best for each in (before, self) if each.best is not None), key=lambda b: b.rank, default=None)
        lane_steps, run_s = self.lane_steps + before.lane_steps, self.run_s + before.run_s
        return dataclasses.replace(self, **counts, lane_steps=lane_steps, run_s=run_s, best=best)

    def and_to_come(self, lanes: int, lane_steps: int) -> Facts:
        """These facts, and lanes of which nothing is known yet but how many steps they will do."""
        left_s = self.left_s + lane_steps / self.pace if self.left_s is not None and self.pace else None
        if not lanes:
            return self
        return dataclasses.replace(self, alive=self.alive + lanes, to_do=self.to_do + lane_steps, left_s=left_s)


def line(description: str, facts: Facts, elapsed_s: float, over: bool = False, width: int | None = None) -> str:
    """The facts as one line of at most ``width`` columns: the wider it is, the more it says.

    ``over`` says that the sweep has ended, be it before its last step.
    """
    share = facts.lane_steps / max(facts.lane_steps + facts.to_do, 1)
    head = f"{description} {min(share, 1 if over else 0.99):4.0%}"
    now = _now(facts, elapsed_s, over or width is None, over)
    pace = [f"{facts.pace:,.0f} lane-steps/s"] if facts.pace else []
    shown, in_full = ([], []) if facts.best is None else ([facts.best.setting], [f"{facts.best.setting}: {facts.best.score}"])
    room = sys.maxsize if width is None else width
    lanes, alive = _lanes(facts, in_full=True), _lanes(facts, in_full=False)
    for rest in (
        [lanes, *_best(in_full), *pace],
        [lanes, *_best(in_full)],
        [lanes, *_best(shown)],
        [alive, *_best(shown)],
        _best(shown),
    ):
        made = ", ".join([head, *now, *rest])
        if columns(made) <= room:
            return made
    return _cut_short(", ".join([head, *now, alive]), shown, room)


def _cut_short(begin: str, shown: list[str], width: int) -> str:
    room = width - columns(begin) - len(", best ")
    return f"{begin}, best {cut(shown[0], room)}" if shown and room >= SHORTEST else cut(begin, width)


def _best(shown: list[str]) -> list[str]:
    return [f"best {each}" for each in shown]


def _now(facts: Facts, elapsed_s: float, elapsed: bool, over: bool) -> list[str]:
    parts = [f"{'stopped ' if over and facts.alive else ''}after {duration(elapsed_s)}"] if elapsed else []
    if over:
        return parts
    if facts.compiling_s >= 1:
        parts.append(f"compiling for {duration(facts.compiling_s)}")
    if facts.left_s is not None:
        parts.append(f"{duration(facts.left_s)} left")
    return parts


def _lanes(facts: Facts, in_full: bool) -> str:
    others = [(facts.done, "done"), (facts.pruned, "pruned"), (facts.dead, "dead")]
    known = [f"{count:,} {word}" for count, word in others if count and (in_full or not facts.alive)]
    return ", ".join(([f"{facts.alive:,} alive"] if facts.alive or not known else []) + known)


def duration(seconds: float) -> str:
    """Seconds as people say them: "12 s", "3 min", "2 h 5 min"."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def columns(shown: str) -> int:
    """How many columns a text takes on a terminal."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in shown)


def cut(shown: str, width: int) -> str:
    """A text in at most so many columns; dots stand for what is left out."""
    if columns(shown) <= width:
        return shown
    while shown and columns(shown) > width - 3:
        shown = shown[:-1]
    return shown + "..."[: max(0, width - columns(shown))]

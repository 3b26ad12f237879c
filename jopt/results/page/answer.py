"""The answer of a sweep, on top of its page: the suggestion in a sentence, or the best setting, and the code that makes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from jopt.results import report, scores, text
from jopt.results.page.expression import expression
from jopt.results.page.listing import Row, label
from jopt.results.suggestion import Suggestion, suggest
from jopt.results.trial import Swept, Trial, best_trial

NUMBERS = 8  # of one optimizer that get a suggestion


class Code(NamedTuple):
    """A line of code, and what it makes.

    Attributes:
      about: What.
      line: The line; an optimizer that public functions do not make in one is described instead.
      runs: Whether it is code.
    """

    about: str
    line: str
    runs: bool


class Answer(NamedTuple):
    """What to use.

    Attributes:
      head: "use 3.2e-3 (2.1e-3 to 4.4e-3)", or the best setting.
      reasons: What speaks for it; together with ``head`` and ``warnings`` it reads as ``str(result.suggest())``.
      warnings: What speaks against it.
      others: Sentences about the other numbers and groups.
      code: How the best setting is made.
      suggestions: One for each number of each group.
    """

    head: str
    reasons: Sequence[str]
    warnings: Sequence[str]
    others: Sequence[str]
    code: Sequence[Code]
    suggestions: Sequence[Suggestion]


def answer(parts: Mapping[str, Swept], rows: Sequence[Row], ranked: scores.Ranking) -> Answer:
    """The answer of a result."""
    first = rows[0]
    if first.state != "finished":
        records = {name: part.record for name, part in parts.items()}
        return Answer(report.no_best(records, ranked.metric), (), (), (), (), ())
    names = list(parts)
    best = names[first.part]
    order = [best, *(name for name in names if name != best)]
    found = {name: _suggestions(parts[name], name or None, ranked) for name in order}
    every = [suggestion for each in found.values() for suggestion in each]
    told = [suggestion for each in found.values() for suggestion in each if suggestion.name not in each[0].beside]
    trial = best_trial(parts[best], ranked, best or None)
    assert trial is not None
    lead = found[best][0] if found[best] else None
    code = _code(trial, lead, label(first, best))
    if lead is None:
        return Answer(_best(first, best, parts, ranked), (), (), [str(each) for each in told], code, every)
    reasons, warnings = [_clean(each) for each in lead.reasons], [_clean(each) for each in lead.warnings]
    why = "; ".join([*reasons, *(f"but {each}" for each in warnings)])
    head = str(lead).removesuffix(f": {why}.")
    return Answer(head, reasons, warnings, [str(each) for each in told if each is not lead], code, every)


def _clean(told: str) -> str:
    return told.rstrip(".")


def _suggestions(part: Swept, group: str | None, ranked: scores.Ranking) -> list[Suggestion]:
    """Of the number that ``suggest()`` takes by itself first, then of all others that have an order."""
    found: dict[str, Suggestion] = {}
    for name in (None, *list(part.record.coords)[:NUMBERS]):
        if name in found:
            continue
        try:
            made = suggest(part, name, ranked.metric, group, ranked.mode, ranked.at)
        except ValueError:  # it has no order, or the optimizer could not be read back
            continue
        found.setdefault(made.name, made)
    return list(found.values())


def _best(row: Row, group: str, parts: Mapping[str, Swept], ranked: scores.Ranking) -> str:
    assert row.score is not None
    score = text.spread(row.score, scores.spread(row.per_seed), len(row.per_seed))
    swept = any(part.record.dims for part in parts.values())
    best = "the best of all settings: " if swept else f"the best of {len(parts)} optimizers: " if len(parts) > 1 else ""
    return f"{best}{label(row, group)} ({ranked.metric} {score})"


def _code(trial: Trial, lead: Suggestion | None, setting: str) -> list[Code]:
    """The optimizer of the best setting, what else was swept, and the optimizer with the suggested value."""
    swept = {name.rpartition(".")[2] for name in trial.result.record.coords}
    try:
        optimizer = trial.optimizer
    except ValueError as error:  # of a file that could not hold it
        return [Code("the best setting that ran", f"{setting}. {error}", False)]
    made = [_line("the best setting that ran", optimizer, swept)]
    try:
        hyper = trial.hyper
    except ValueError:
        hyper = None
    if hyper is not None:
        made.append(_line("its hyper=", hyper, swept))
    if trial.result.record.examples is not None:
        dim, each = trial.result.record.examples
        made.append(Code("its batch_size=", str(int(each[trial.index[trial.result.record.dims.index(dim)]])), True))
    if lead is not None and lead.optimizer is not optimizer and lead.optimizer != optimizer:
        made.append(_line("the suggested value", lead.optimizer, swept))
    return made


def _line(about: str, value: object, swept: set[str]) -> Code:
    line = expression(value, swept)
    if line is None:
        return Code(f"{about} (no line of public functions makes it, so this only describes it)", repr(value), False)
    return Code(about, line, True)

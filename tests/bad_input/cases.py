"""A case: the text of one call, drawn by Hypothesis, run and judged."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from hypothesis import strategies as st

from tests.bad_input import arguments, judging, table, values
from tests.bad_input.table import Row

SCOPE = {**vars(values), "operator": operator, "_take": lambda *args, **kwargs: (args, kwargs)}


class Case(NamedTuple):
    """One call.

    Attributes:
      target: The text of what is called.
      args: The text of its arguments.
      spoilt: The names of those that may be bad.
    """

    target: str
    args: str
    spoilt: tuple[str, ...]

    def __str__(self) -> str:
        """The call, as a user would write it."""
        return self.target if self.args == "-" else f"{self.target}({self.args})"


def cases(row: Row) -> st.SearchStrategy[Case]:
    """The calls of a row: all good, or with one or two arguments that may be bad."""

    @st.composite
    def draw_case(draw: Any) -> Case:
        target = row.name.replace("{}", draw(st.sampled_from(row.of)))
        if row.function.__name__ == "_no_arguments":
            return Case(target, "-", ())
        names = [p.name for p in row.parameters]
        spoilt = set(draw(st.lists(st.sampled_from(names), max_size=2, unique=True))) if names else set()
        parts = [text for p in row.parameters for text in _argument(draw, row, p, p.name in spoilt)]
        return Case(target, ", ".join(parts), tuple(sorted(spoilt)))

    return draw_case()


def _argument(draw: Any, row: Row, parameter: inspect.Parameter, spoilt: bool) -> list[str]:
    """How an argument is written: not at all, once, or as often as it is drawn."""
    goods = list(arguments.good(row.function, parameter.name, parameter, dict(row.good)))
    value = arguments.bad() if spoilt or not goods else st.sampled_from(goods)
    if spoilt and goods:
        value = st.one_of(value, value, value, st.sampled_from(goods))
    required = parameter.default is parameter.empty or parameter.name in row.always
    if parameter.kind is parameter.VAR_POSITIONAL:
        mixed = st.one_of(st.sampled_from(goods), value) if goods else value
        return draw(st.lists(mixed, min_size=0 if spoilt else 1, max_size=3))
    if parameter.kind is parameter.VAR_KEYWORD:
        if not goods and not spoilt:
            return []
        name = draw(st.sampled_from(("learning_rate", "b1", "init_value", "mask", "ünï", "chain.learning_rate")))
        return [f"**{{{name!r}: {draw(value)}}}"]
    if not (spoilt or required) and draw(st.integers(0, 2)) < 2:
        return []
    return [draw(value) if parameter.kind is parameter.POSITIONAL_ONLY else f"{parameter.name}={draw(value)}"]


def run(row: Row, case: Case) -> str | None:
    """What a case comes to, as ``judging.outcome`` says it; None where Python can't make its arguments."""
    before = jax.config.values["jax_traceback_filtering"]
    jax.config.update("jax_traceback_filtering", "off")  # a filtered traceback does not say whose frame was the last
    try:
        return _traced(row, case)
    finally:
        jax.config.update("jax_traceback_filtering", before)


def _traced(row: Row, case: Case) -> str | None:
    if not arguments.TRACED.search(case.args):
        return _run(row, case, None)
    told: list[str | None] = []
    jax.jit(lambda tracer: told.append(_run(row, case, tracer)))(jnp.float32(0.5))
    return told[0]


def _run(row: Row, case: Case, tracer: Any) -> str | None:
    scope = {**SCOPE, "tracer": tracer}
    if case.args == "-":
        return judging.outcome(lambda: row.use(_eval(case.target, scope), {}))
    try:
        with judging.heard():
            args, kwargs = _eval(f"_take({case.args})", scope)
            target = _eval(case.target, scope)
    except Exception:
        return None
    signature = inspect.signature(row.function)
    owned = [None] if "self" in signature.parameters else []
    try:
        given: Mapping[str, Any] = signature.bind_partial(*owned, *args, **kwargs).arguments
    except TypeError:
        given = kwargs
    named = [name for name in given if name != "self"]
    words = {*named, *kwargs, *(word for more in row.words.values() for word in more)}
    words |= {word for name in named for word in table.ALIASES.get(name, ())}
    given = {**given, "function": row.function.__name__}
    return judging.outcome(lambda: row.use(target(*args, **kwargs), given), sorted(words) if case.spoilt else ())


def _eval(text: str, scope: dict[str, Any]) -> Any:
    return eval(compile(text, judging.CASE, "eval"), scope)

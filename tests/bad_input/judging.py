"""Whether what a call came to is a right outcome: a result, or an error that jopt raised on purpose and in clear words."""

from __future__ import annotations

import ast
import functools
import inspect
import linecache
import os
import re
import signal
import sys
import traceback
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jopt
from tests.bad_input import values

JOPT = os.path.dirname(os.path.abspath(jopt.__file__)) + os.sep
USERS = os.path.abspath(values.__file__)
CALLER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cases.py")
CASE = "<case>"  # the file of a call's own text, functions that it defines included
LONGEST_S = 300  # of one call: some compile several programs, and a machine may have forty others to run
LONGEST_MESSAGE = 2000
# Python's own words about a user's function that takes other arguments: they name the function.
ARITY = re.compile(r"\(\) (missing \d+ required|takes|got an unexpected keyword|got multiple values)")
# What may be wrong whatever the arguments are: with the result that is asked, or the optimizer whose method it is.
OF_THE_OWNER = re.compile(
    r"was not recorded|nothing was pruned|diverged|Nobody said whether|keep=|The carry of|differ in shape|so this is a sweep"
    r"|is drawn, so|one setting has no axes|is one setting|no number with an order|changed together|name= is needed|needs two"
    r"|fewer than two axes|has an axis|have no span|Nothing was recorded|sweep was stopped|ranked by|walked together|one axis"
    r"|under jax\.jit"
)


class Hang(BaseException):
    """A call took too long."""


class Fault(AssertionError):
    """An outcome that is none of the right ones."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raises ``Hang`` inside, where it takes longer; in the main thread only."""

    def stop(*_: Any) -> None:
        raise Hang(f"after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def heard() -> Iterator[list[str]]:
    """The warnings that somebody else than jopt gave inside."""
    foreign: list[str] = []

    def show(message: Any, category: type[Warning], filename: str, line: int, *_: Any, **__: Any) -> None:
        by: Any = sys._getframe(1)
        while by is not None and by.f_code.co_filename.endswith("warnings.py"):
            by = by.f_back
        own = by is not None and _is_jopts(by.f_code.co_filename) and _is_in(by.f_code.co_filename, by.f_lineno, _warns)
        if not own:
            foreign.append(f"{category.__name__}: {message} ({_short(filename)}:{line})")

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = show
        yield foreign


def outcome(do: Callable[[], Any], bad: Sequence[str] = ()) -> str:
    """ "result", or the name of the error's type; raises ``Fault`` for an outcome that is not right.

    ``bad`` are the words of which an error's message must have one: the names of the arguments that were spoilt.
    """
    with heard() as foreign:
        try:
            with limited(LONGEST_S):
                do()
        except Fault:
            raise
        except (KeyboardInterrupt, MemoryError):
            raise
        except Hang as hang:
            raise Fault(f"hangs: {_trace(hang)}") from None
        except BaseException as error:
            _check(error, bad)
            return "the user's own" if isinstance(error, values.OwnError) else type(error).__name__
    if foreign:
        raise Fault(f"warns: {foreign[0]}")
    return "result"


def _check(error: BaseException, bad: Sequence[str]) -> None:
    frames = [(f.f_code, f.f_code.co_filename, line) for f, line in traceback.walk_tb(error.__traceback__)]
    frames = [each for each in frames if each[1] != os.path.abspath(__file__)]
    if isinstance(error, TypeError) and ARITY.search(str(error)) and frames and _is_jopts(frames[-1][1]):
        return
    if isinstance(error, OSError) and error.filename is not None:  # the system's own words about a file
        return
    if isinstance(error, values.OwnError) or _came_from_a_user(frames) or _is_of_the_call(error, frames):
        return
    _, file, line = frames[-1]
    said = f"{type(error).__name__}: {str(error)[:300]}"
    if not (_is_jopts(file) and _is_in(file, line, _raises)):
        raise Fault(f"foreign: {said} {_trace(error)}") from error
    message = str(error)
    if bad and not any(word in message for word in bad) and not OF_THE_OWNER.search(message):
        raise Fault(f"names none of {list(bad)}: {said} {_trace(error)}") from error
    if len(message) > LONGEST_MESSAGE:
        raise Fault(f"a message of {len(message)} characters: {said} {_trace(error)}") from error


def _came_from_a_user(frames: Sequence[tuple[types.CodeType, str, int]]) -> bool:
    """Whether a function of the user's, called by jopt, was under way."""
    inside = [i for i, (_, file, _) in enumerate(frames) if _is_jopts(file)]
    later = frames[inside[0] :] if inside else []
    return any(file in (USERS, CASE) for _, file, _ in later)


def _is_of_the_call(error: BaseException, frames: Sequence[tuple[types.CodeType, str, int]]) -> bool:
    """Python's own words about arguments that are missing or too many."""
    last = frames[-1] if frames else None
    in_bind = last is not None and last[1] == inspect.__file__ and last[0].co_name == "_bind"
    called = last is not None and last[1] == CALLER and "argument" in str(error)
    return isinstance(error, TypeError) and (in_bind or called)


def _is_jopts(file: str) -> bool:
    return os.path.abspath(file).startswith(JOPT)


def _is_in(file: str, line: int, kind: Callable[[ast.AST], bool]) -> bool:
    return any(first <= line <= last for first, last in _spans(file, kind))


@functools.cache
def _spans(file: str, kind: Callable[[ast.AST], bool]) -> list[tuple[int, int]]:
    tree = ast.parse("".join(linecache.getlines(file)))
    return [(node.lineno, node.end_lineno or node.lineno) for node in ast.walk(tree) if kind(node)]  # type: ignore[attr-defined]


def _raises(node: ast.AST) -> bool:
    return isinstance(node, ast.Raise)


def _warns(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "warn"


def _short(file: str) -> str:
    return os.sep.join(os.path.normpath(file).split(os.sep)[-3:])


def _trace(error: BaseException) -> str:
    """The last frame of jopt's, and the last of all."""
    frames = [(f.f_code.co_filename, line) for f, line in traceback.walk_tb(error.__traceback__)]
    own = [frame for frame in frames if _is_jopts(frame[0])]
    ends = dict.fromkeys([*own[-1:], *frames[-1:]])
    return "at " + " > ".join(f"{_short(file)}:{line}" for file, line in ends)

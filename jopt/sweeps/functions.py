"""The user's functions, each of which is called with arguments of a known number."""

from __future__ import annotations

from typing import Any

from jopt import hyper
from jopt.values.trees import is_function

_WHOSE = {"params": "params, as the function init,", "data": "data, as a function,"}
_HINTS = {"evaluate": "; arrays that it needs are handed to it by jopt.metrics(evaluate, data=arrays)"}


def check_functions(given: Any, functions: dict[str, tuple[Any, str]]) -> None:
    """Checks that ``given``, as ``hyper=``, goes where it is named, and that each function takes what it is called with.

    Args:
      given: ``hyper=``.
      functions: by argument, each with the names of what it is called with; no names: somebody else looks at these. What is no
        function, but arrays or None, is left out.

    Raises:
      ValueError: As ``hyper.check``.
      TypeError: For a function that takes other arguments.
    """
    kinds = {"data": is_function}  # arrays in a tree that can be called are data
    found = {name: each for name, each in functions.items() if kinds.get(name, callable)(each[0])}
    hyper.check(given, {name: found.get(name, (None,))[0] for name in functions})
    for name, (function, wanted) in found.items():
        if wanted:
            hyper.check_call(_WHOSE.get(name, name), function, wanted.split(", "), given, _HINTS.get(name, ""))

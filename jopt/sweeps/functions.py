"""The user's functions, each of which is called with arguments of a known number, and the optimizers beside them."""

from __future__ import annotations

from typing import Any

from jopt import hyper
from jopt.sweeps.arguments import compared
from jopt.values.pairs import is_transformation
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


def check_optimizers(loss: Any, optimizer: Any) -> None:
    """Checks that ``jopt.sweep`` is given a loss, and a transformation or several, in their places."""
    if not callable(loss):
        raise TypeError(f"sweep takes (loss, params, optimizer, data); the loss is a {type(loss).__name__}, not a function.")
    for name, value in compared(optimizer).items():
        _check_optimizer(name, value)


def _check_optimizer(name: str, value: Any) -> None:
    if not is_transformation(value):
        which = f"the optimizer {name!r}" if name else "the optimizer"
        hint = "several are compared as a dict by name, and used together by jopt.sweep_steps"
        if hasattr(value, "gradient_transformation"):  # optax.MultiSteps
            hint = "give its gradient_transformation(), or jopt.accumulate(optimizer, every), whose numbers can be swept"
        elif callable(value):
            hint = "call the factory: jopt.adam(...)"
        raise TypeError(f"sweep: {which} must be a transformation, but got {type(value).__name__}; {hint}.")

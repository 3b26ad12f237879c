"""A value that is made when it is asked for."""

from collections.abc import Callable
from typing import Any


class Deferred:
    """A value that is made at the first `get`, and that reads like `shown` until then.

    A saved optimizer is unpickled only if it is wanted: the numbers of a result stay readable where
    its classes no longer are.
    """

    def __init__(self, make: Callable[[], Any], shown: str = "<stored>") -> None:
        self._make = make
        self._shown = shown
        self._made: list[Any] = []

    def get(self) -> Any:
        """The value."""
        if not self._made:
            self._made.append(self._make())
        return self._made[0]

    def __repr__(self) -> str:
        """The text that was given for it."""
        return self._shown

"""Which files stand for a path: one, or in the directory of a checkpoint those of all processes that wrote into it."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from jopt.engine.files import AnyPath
from jopt.engine.lanes.store.store import Store
from jopt.results.storage import SUFFIX, explained, of_last_call
from jopt.values import require

MAIN = f"sweep{SUFFIX}"  # of a sweep that one process runs alone
_SLICE = re.compile(rf"slice-(\d+)-of-(\d+)-[0-9a-f]+\{SUFFIX}")
_GONE = (errno.ENOENT, errno.ESTALE, errno.EIO)  # what a file server says of a file that has just been replaced
_TRIES, _PAUSE_S = 5, 0.2

T = TypeVar("T")


def name_of_slice(index: int, count: int, token: str) -> str:
    """The name of the file of one of several processes."""
    return f"slice-{index}-of-{count}-{token}{SUFFIX}"


def slice_of(path: str) -> tuple[int, int] | None:
    """The index and the count in the name of a file; None: it is none of several processes'."""
    found = _SLICE.fullmatch(os.path.basename(path))
    return None if found is None else (int(found[1]), int(found[2]))


def slices_in(directory: str) -> list[str]:
    """The files of processes that share a sweep, in order."""
    try:
        names = os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [os.path.join(directory, name) for name in sorted(names, key=_in_order) if slice_of(name)]


def _in_order(name: str) -> tuple[Any, ...]:
    index, count = slice_of(name) or (0, 0)
    return count, index, name


def located(path: AnyPath) -> str:
    """The name of a file; where ``path`` is a directory, of the one in it.

    Raises:
      FileNotFoundError: Where there is none.
      ValueError: For a directory with several.
    """
    name = require.path("path", path)
    if not os.path.isdir(name):
        return name
    inside = sorted(entry for entry in os.listdir(name) if entry.endswith(SUFFIX))
    if not inside:
        raise FileNotFoundError(f"There is no file *{SUFFIX} in the directory {name!r}.")
    if len(inside) > 1:
        raise ValueError(f"There are {len(inside)} files *{SUFFIX} in the directory {name!r}; give one: {', '.join(inside)}.")
    return os.path.join(name, inside[0])


def files_of(path: AnyPath) -> list[str]:
    """The files that a path stands for: itself; of a directory that several processes share theirs; else the one in it.

    Raises:
      FileNotFoundError: Where there is none.
      ValueError: For a directory with several files that do not belong together.
    """
    name = require.path("path", path)
    return written_in(name) if os.path.isdir(name) and slices_in(name) else [located(name)]


def written_in(directory: str) -> list[str]:
    """The files that sweeps have written into a directory."""
    main = os.path.join(directory, MAIN)
    return [*([main] if os.path.exists(main) else []), *slices_in(directory)]


def again(read: Callable[[], T]) -> T:
    """What ``read()`` returns, tried again where a file is replaced while it is read."""
    for _ in range(_TRIES - 1):
        try:
            return read()
        except OSError as error:
            if error.errno not in _GONE:
                raise
            time.sleep(_PAUSE_S)
    return read()


@contextlib.contextmanager
def opened(files: Sequence[str]) -> Iterator[list[Store]]:
    """Files open and inside ``reading``; those of slices without locks, since nobody writes into one that has its name."""
    with contextlib.ExitStack() as stack:
        stores = []
        for file in files:
            with explained(file):
                store = stack.enter_context(Store.open(file, published=slice_of(file) is not None))
                stack.enter_context(store.reading())
                stores.append(store)
        yield stores


def newest(stores: Sequence[Store]) -> int:
    """Which of several files has the grid that was asked for last."""
    began = []
    for store in stores:
        with explained(store.database.path):
            began.append(max((str(about.get("began", "")) for _, about in of_last_call(store)), default=""))
    return max(range(len(stores)), key=lambda i: began[i])

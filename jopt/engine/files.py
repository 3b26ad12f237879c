"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import uuid
from collections.abc import Iterator
from typing import IO, TypeAlias

from jopt.values import require

AnyPath: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]


@contextlib.contextmanager
def replacing(path: AnyPath) -> Iterator[IO[bytes]]:
    """A file to write to, which takes the place of ``path`` at the end: readers never see a part of it."""
    with replaced(path) as partial, open(partial, "xb") as file:
        yield file


@contextlib.contextmanager
def replaced(path: AnyPath, *, durable: bool = False) -> Iterator[str]:
    """The name of a file to write, which takes the place of ``path`` at the end: readers never see a part of it.

    Its name until then is its own, so that several threads and processes can write the same ``path`` at once (the last one
    wins), and short, because ``path`` may be as long as a name can be. Whatever ends the writing early, it is removed.
    ``durable``: it is on the disk before it takes its place, and its place is when this ends.
    """
    target = os.path.realpath(require.path("path", path))  # through a link to the file that it names
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, "There is no such directory to write a file in", folder)
    if os.path.isdir(target):
        raise IsADirectoryError(errno.EISDIR, "This is a directory; give the name of a file", target)
    partial = os.path.join(folder, f".jopt-{uuid.uuid4().hex}.part")
    try:
        yield partial
        if durable:
            _sync(partial)
        os.replace(partial, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        raise
    if durable:
        with contextlib.suppress(OSError):  # some systems have no such thing for directories
            _sync(folder)


def _sync(path: str) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def cache_directory(name: str) -> pathlib.Path:
    """``$JOPT_CACHE_DIR/name``, or ``jopt/name`` in the user's cache directory.

    Raises:
      RuntimeError: If it is to be in the user's home directory, and there is none.
    """
    given = os.environ.get("JOPT_CACHE_DIR")
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return pathlib.Path(given or f"{base}/jopt").expanduser() / name

"""A result read back from its file."""

from __future__ import annotations

import os
from typing import Any

from jopt.engine.files import AnyPath
from jopt.results import directory, storage
from jopt.results.groups import GroupedResult
from jopt.results.result import SweepResult


def load_result(path: AnyPath, like: Any = None) -> SweepResult | GroupedResult:
    """Reads a result that ``result.save(path)`` wrote.

    Any file may be read: it holds numbers, names and arrays, and nothing in it is run. Optimizers and schedules of jopt's and
    of Optax's (lifted) come back by their names, with their arguments. What has no public name (a lambda as a mask, a
    factory of your own) comes back as a description, which has its numbers and says what to do when it is used. Parameters
    and states come back as dicts, lists, tuples and the named tuples of jopt and Optax; nodes of classes of your own as
    descriptions with their children, or as what they were, where ``like`` has such nodes.

    Args:
      path: The file, named exactly as it was saved, or a directory: of a checkpoint, also one that several processes share
        (``jopt.Slice``), of which all files are read together, or one that holds one ``.jopt`` file.
      like: The parameters as they were given to the sweep, or others of that structure; their arrays are not looked at.

    Returns:
      The result: a ``jopt.SweepResult``, or a ``jopt.GroupedResult`` where several optimizers were swept. Its ``plan`` is the
      sentence that the plan read as.

    Raises:
      OSError: For a file that can't be opened: FileNotFoundError where there is none.
      ValueError: For a file that holds no result or is damaged, and a ``like`` of another structure.

    Example:
      >>> rates = jopt.geomspace(0.01, 1.0, 3)
      >>> result = jopt.sweep(lambda x, batch: (x**2).sum(), jnp.ones(2), jopt.sgd(rates), steps=5, progress=False)
      >>> result.save("sgd.jopt")
      >>> jopt.load_result("sgd.jopt").best().optimizer
      sgd(learning_rate=0.1)
    """
    results = {name: SweepResult(**vars(stored)) for name, stored in directory.again(lambda: _read(path, like)).items()}
    return results[""] if list(results) == [""] else GroupedResult(results)


def _read(path: AnyPath, like: Any) -> dict[str, storage.Stored]:
    files = directory.files_of(path)
    with storage.explained(files[0] if len(files) == 1 else os.fsdecode(path)), directory.opened(files) as stores:
        main = stores.pop(directory.newest(stores))
        return storage.read(main, stores, like)

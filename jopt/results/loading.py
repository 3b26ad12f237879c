"""A result read back from its file."""

from __future__ import annotations

from jopt.results import storage
from jopt.results.groups import GroupedResult
from jopt.results.result import SweepResult


def load_result(path: storage.Path) -> SweepResult | GroupedResult:
    """Reads a result that ``result.save(path)`` wrote.

    Load only files that you trust: the optimizer and the structure of the parameters are pickles,
    and a pickle runs code. They are unpickled when they are first asked for.

    Args:
      path: The file, named exactly as it was saved.

    Returns:
      The result: a ``jopt.SweepResult``, or a ``jopt.GroupedResult`` where several optimizers were swept. Its ``plan`` is the
      sentence that the plan read as.

    Raises:
      OSError: For a file that can't be opened: FileNotFoundError where there is none.
      ValueError: For a file that holds no result or is damaged.

    Example:
      >>> rates = jopt.geomspace(0.01, 1.0, 3)
      >>> result = jopt.sweep(lambda x, batch: (x**2).sum(), jnp.ones(2), jopt.sgd(rates), steps=5, progress=False)
      >>> result.save("sgd.sweep")
      >>> jopt.load_result("sgd.sweep").best().index
      (1,)
    """
    results = {name: SweepResult(**vars(stored)) for name, stored in storage.read(path).items()}
    return results[""] if list(results) == [""] else GroupedResult(results)

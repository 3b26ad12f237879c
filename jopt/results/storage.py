"""A result in one file: arrays as NumPy writes them, their list as JSON, pickles for the rest."""

import json
import os
import pickle
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from numpy.typing import NDArray

from .deferred import Deferred
from .record import SweepRecord, Timings

if TYPE_CHECKING:
    from .report import Groups
    from .result import SweepResult

FORMAT = "jopt sweep result"
VERSION = 1
# What reading a foreign, cut or altered file raises, from NumPy, zipfile, json and the look-ups.
DAMAGE = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    EOFError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)


class _Writer:
    """Collects arrays under running names, "a0", "a1": metric names may hold anything."""

    def __init__(self) -> None:
        self.arrays: dict[str, NDArray[Any]] = {}

    def add(self, array: NDArray[Any]) -> dict[str, str]:
        key = f"a{len(self.arrays)}"
        self.arrays[key] = np.asarray(array)
        # NumPy's file format forgets bfloat16 and its like, hence the name of the dtype.
        return {"key": key, "dtype": str(self.arrays[key].dtype)}

    def add_all(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, dict[str, str]]:
        return {name: self.add(array) for name, array in arrays.items()}

    def pickle(self, make: Callable[[], Any], what: str) -> dict[str, Any]:
        try:
            stored = pickle.dumps(make())
        except Exception as error:  # pickling runs code of every class inside the value
            return {"missing": f"the {what} could not be saved: {type(error).__name__}: {error}"}
        return self.add(np.frombuffer(stored, np.uint8))


class _Reader:
    """Gives back what a `_Writer` wrote."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._arrays = arrays

    def get(self, entry: Mapping[str, str]) -> NDArray[Any]:
        array = self._arrays[entry["key"]]
        dtype = jax.numpy.dtype(entry["dtype"]) if array.dtype.kind == "V" else array.dtype
        return array.view(dtype)

    def get_all(self, entries: Mapping[str, Mapping[str, str]]) -> dict[str, NDArray[Any]]:
        return {name: self.get(entry) for name, entry in entries.items()}

    def unpickle(self, entry: Mapping[str, Any]) -> Any:
        if "missing" in entry:
            raise ValueError(f"{entry['missing']}. Define its functions at the top of a module")
        try:
            return pickle.loads(self.get(entry).tobytes())
        except Exception as error:  # unpickling runs code of every class inside the value
            raise ValueError(
                f"a stored value could not be read back: {type(error).__name__}: {error}. "
                "Import the modules that defined it, in the versions that saved it"
            ) from error


def save(groups: "Groups", path: "str | os.PathLike[str]") -> None:
    """Writes results by name (one named "" for a plain result) to exactly `path`."""
    writer = _Writer()
    contents = {name: _write(result, writer) for name, result in groups.items()}
    manifest = json.dumps({"format": FORMAT, "version": VERSION, "groups": contents})
    entries = {"manifest": np.frombuffer(manifest.encode(), np.uint8), **writer.arrays}
    partial = f"{os.fspath(path)}.part"
    # The name appears only when the file is whole; an open file keeps NumPy from adding ".npz".
    with open(partial, "wb") as file:
        np.savez(file, allow_pickle=False, **entries)
    os.replace(partial, path)


def _write(result: "SweepResult", writer: _Writer) -> dict[str, Any]:
    leaves, structure = jax.tree.flatten(result.params)
    indices = list(np.ndindex(result.record.shape))
    return {
        "record": _write_record(result.record, writer),
        "optimizer": writer.pickle(lambda: result.optimizer, "optimizer"),
        "settings": writer.pickle(lambda: {i: result.optimizer_at(i) for i in indices}, "optimizer"),
        "description": result.description,
        "params": [writer.add(leaf) for leaf in leaves],
        "structure": writer.pickle(lambda: jax.tree.unflatten(structure, range(len(leaves))), "structure of the parameters"),
        "plan": str(result.plan),
        "timings": asdict(result.timings),
        "version": result.version,
    }


def _write_record(record: SweepRecord, writer: _Writer) -> dict[str, Any]:
    plain = ("seeds", "step", "eval_step", "diverged_at", "steps_done")
    return {
        "dims": list(record.dims),
        "along": {name: dim for name, (dim, _) in record.coords.items()},
        "coords": writer.add_all({name: values for name, (_, values) in record.coords.items()}),
        "losses": writer.add_all(record.losses),
        "metrics": writer.add_all(record.metrics),
        "plain": writer.add_all({name: getattr(record, name) for name in plain}),
        "maximize": list(record.maximize),
    }


def load_result(path: "str | os.PathLike[str]") -> "SweepResult":
    """Reads a result that `SweepResult.save` wrote.

    Load only files that you trust: the optimizer and the structure of the parameters are pickles,
    and a pickle runs code. They are unpickled when they are first asked for.

    Args:
      path: the file, named exactly as it was saved.

    Returns:
      The result: a `GroupedResult` if several optimizers were swept. Its `plan` is the sentence
      that the plan read as.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if the file holds no result or is damaged.

    Example:
      >>> rates = jopt.geomspace(0.01, 1.0, 3)
      >>> result = jopt.sweep(lambda x, batch: (x**2).sum(), jnp.ones(2), jopt.sgd(rates), steps=5, progress=False)
      >>> result.save("sgd.sweep")
      >>> jopt.load_result("sgd.sweep").best().index
      (1,)
    """
    from .groups import GroupedResult

    groups = dict(_read_groups(path))
    return groups[""] if list(groups) == [""] else GroupedResult(groups)


def _read_groups(path: "str | os.PathLike[str]") -> Iterator[tuple[str, "SweepResult"]]:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = dict(archive)
        manifest = json.loads(arrays["manifest"].tobytes())
        if manifest["format"] != FORMAT or manifest["version"] > VERSION:
            raise ValueError(f"its format is {manifest['format']} {manifest['version']}")
        reader = _Reader(arrays)
        for name, content in manifest["groups"].items():
            yield name, _read(content, reader)
    except DAMAGE as error:
        raise ValueError(
            f"{os.fspath(path)!r} is damaged or not a result that this jopt can read ({error}): "
            "give the name of a file written by result.save(path)"
        ) from error


def _read(content: dict[str, Any], reader: _Reader) -> "SweepResult":
    from .result import SweepResult

    settings = Deferred(lambda: reader.unpickle(content["settings"]))
    leaves = [reader.get(entry) for entry in content["params"]]
    return SweepResult(
        _read_record(content["record"], reader),
        optimizer=Deferred(lambda: reader.unpickle(content["optimizer"]), content["description"]),
        optimizer_at=lambda index: settings.get()[index],
        params=Deferred(lambda: jax.tree.map(leaves.__getitem__, reader.unpickle(content["structure"]))),
        plan=content["plan"],
        timings=Timings(**content["timings"]),
        version=content["version"],
    )


def _read_record(content: dict[str, Any], reader: _Reader) -> SweepRecord:
    values = reader.get_all(content["coords"])
    return SweepRecord(
        dims=tuple(content["dims"]),
        coords={name: (dim, values[name]) for name, dim in content["along"].items()},
        losses=reader.get_all(content["losses"]),
        metrics=reader.get_all(content["metrics"]),
        **reader.get_all(content["plain"]),
        maximize=tuple(content["maximize"]),
    )

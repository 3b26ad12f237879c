"""A result in one file: arrays as NumPy writes them, their list as JSON, pickles for the rest."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import IO, Any, TypeAlias, TypeVar

import jax
import numpy as np
from numpy.typing import NDArray

from jopt.engine.files import replacing
from jopt.results.pickles import Pickled, PickledTree
from jopt.results.record import SweepRecord, Timings
from jopt.values.names import check_groups, labels

Path: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]
Kind = TypeVar("Kind")

FORMAT = "jopt sweep result"
VERSION = 3


@dataclass(frozen=True)
class Stored:
    """What a file holds of one result; the arguments of a ``SweepResult``."""

    record: SweepRecord
    optimizer: Pickled
    optimizer_at: Pickled
    hyper_at: Pickled
    params: PickledTree
    plan: str
    timings: Timings
    version: str
    environment: Mapping[str, str]
    state: PickledTree
    by_step: bool
    key_kinds: Sequence[Any]


class _Writer:
    """Collects arrays under running names, "a0", "a1": metric names may hold anything."""

    def __init__(self) -> None:
        self.arrays: dict[str, NDArray[Any]] = {}

    def add(self, array: NDArray[Any]) -> dict[str, Any]:
        if array.dtype == object:  # None, numbers, bools and names, of an axis of structure
            return {"values": array.tolist()}
        key = f"a{len(self.arrays)}"
        self.arrays[key] = np.asarray(array)
        # NumPy's file format forgets bfloat16 and its like, hence the name of the dtype.
        return {"key": key, "dtype": str(self.arrays[key].dtype)}

    def add_all(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, dict[str, Any]]:
        return {name: self.add(array) for name, array in arrays.items()}

    def pickle(self, value: Pickled) -> dict[str, Any]:
        return {"missing": value.missing} if value.missing else self.add(np.frombuffer(value.stored, np.uint8))

    def tree(self, tree: PickledTree) -> dict[str, Any]:
        return {"leaves": [self.add(leaf) for leaf in tree.leaves], "structure": self.pickle(tree.structure)}


class _Reader:
    """Gives back what a ``_Writer`` wrote."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._arrays = arrays

    def get(self, entry: Mapping[str, Any]) -> NDArray[Any]:
        if "values" in entry:
            return labels(_typed(entry["values"], list))
        array = self._arrays[entry["key"]]
        dtype = jax.numpy.dtype(entry["dtype"]) if array.dtype.kind == "V" else array.dtype
        return array.view(dtype)

    def get_all(self, entries: Mapping[str, Mapping[str, Any]]) -> dict[str, NDArray[Any]]:
        return {name: self.get(entry) for name, entry in entries.items()}

    def pickle(self, entry: Mapping[str, Any], shown: str = "<stored>") -> Pickled:
        missing = _typed(entry.get("missing", ""), str)
        return Pickled(b"" if missing else self.get(entry).tobytes(), missing, shown)

    def tree(self, content: Mapping[str, Any]) -> PickledTree:
        return PickledTree([self.get(entry) for entry in _typed(content["leaves"], list)], self.pickle(content["structure"]))


def save(results: Mapping[str, Stored], path: Path) -> None:
    """Writes results by name (one named "" for a plain result) to exactly ``path``."""
    writer = _Writer()
    contents = {name: _write(result, writer) for name, result in results.items()}
    manifest = json.dumps({"format": FORMAT, "version": VERSION, "groups": contents})
    entries = {"manifest": np.frombuffer(manifest.encode(), np.uint8), **writer.arrays}
    with replacing(path) as file:  # an open file keeps NumPy from adding ".npz" to its name
        np.savez(file, allow_pickle=False, **entries)


def _write(result: Stored, writer: _Writer) -> dict[str, Any]:
    return {
        "record": _write_record(result.record, writer),
        "optimizer": writer.pickle(result.optimizer),
        "settings": writer.pickle(result.optimizer_at),
        "hyper": writer.pickle(result.hyper_at),
        "description": result.optimizer.shown,
        "params": writer.tree(result.params),
        "state": writer.tree(result.state),
        "by_step": result.by_step,
        "key_kinds": [kind if isinstance(kind, str) else None for kind in result.key_kinds],
        "plan": result.plan,
        "timings": asdict(result.timings),
        "version": result.version,
        "environment": dict(result.environment),
    }


def _write_record(record: SweepRecord, writer: _Writer) -> dict[str, Any]:
    plain = ("seeds", "step", "eval_step", "diverged_at", "pruned_at", "steps_done")
    return {
        "dims": list(record.dims),
        "along": {name: dim for name, (dim, _) in record.coords.items()},
        "coords": writer.add_all({name: values for name, (_, values) in record.coords.items()}),
        "losses": writer.add_all(record.losses),
        "metrics": writer.add_all(record.metrics),
        "plain": writer.add_all({name: getattr(record, name) for name in plain}),
        "maximize": list(record.maximize),
        "examples": [(dim, writer.add(each)) for dim, each in filter(None, [record.examples])],
        "first": record.first,
        "keep": record.keep,
        "sweep_seed": record.sweep_seed,
    }


def read(path: Path) -> dict[str, Stored]:
    """The results in a file, by name."""
    name = os.fspath(path)
    with open(name, "rb") as file:
        try:
            return _read_all(file)
        # A foreign or damaged file can raise whatever NumPy, zipfile, json and the look-ups below can:
        # RecursionError, OverflowError, MemoryError and struct.error among them.
        except Exception as error:
            raise ValueError(
                f"{name!r} is damaged or not a result that this jopt can read ({type(error).__name__}: {error}). "
                "Give the name of a file written by result.save(path)."
            ) from error


def _read_all(file: IO[bytes]) -> dict[str, Stored]:
    with zipfile.ZipFile(file) as archive:
        arrays = {name.removesuffix(".npy"): _read_array(archive, name) for name in archive.namelist()}
    if "manifest" not in arrays:
        raise ValueError("it has no list of contents")
    manifest = json.loads(arrays["manifest"].tobytes())
    if manifest["format"] != FORMAT or manifest["version"] != VERSION:
        raise ValueError(f"its format is {manifest['format']} {manifest['version']}")
    reader = _Reader(arrays)
    groups = {name: _read(content, reader) for name, content in manifest["groups"].items()}
    if list(groups) != [""]:
        check_groups(groups)
    return groups


def _read_array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    with archive.open(name) as member:
        array: NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
        # A checksum is compared at the end of what it covers, which a header that says too little does not reach.
        if member.read(1):
            raise ValueError(f"the array {name!r} is longer than its header says")
    return array


def _read(content: dict[str, Any], reader: _Reader) -> Stored:
    return Stored(
        _read_record(content["record"], reader),
        optimizer=reader.pickle(content["optimizer"], _typed(content["description"], str)),
        optimizer_at=reader.pickle(content["settings"]),
        hyper_at=reader.pickle(content["hyper"]),
        params=reader.tree(content["params"]),
        plan=_typed(content["plan"], str),
        timings=_read_timings(content["timings"]),
        version=_typed(content["version"], str),
        environment={name: _typed(told, str) for name, told in _typed(content["environment"], dict).items()},
        state=reader.tree(content["state"]),
        by_step=_typed(content["by_step"], bool),
        key_kinds=tuple(_typed(content["key_kinds"], list)),
    )


def _read_timings(content: dict[str, Any]) -> Timings:
    seconds = {name: float(content[name]) for name in ("compile_s", "run_s", "total_s")}
    return Timings(**seconds, lane_steps=_typed(content["lane_steps"], int))


def _read_record(content: dict[str, Any], reader: _Reader) -> SweepRecord:
    values = reader.get_all(content["coords"])
    return SweepRecord(
        dims=tuple(_typed(dim, str) for dim in _typed(content["dims"], list)),
        coords={name: (dim, values[name]) for name, dim in content["along"].items()},
        losses=reader.get_all(content["losses"]),
        metrics=reader.get_all(content["metrics"]),
        **reader.get_all(content["plain"]),
        maximize=tuple(content["maximize"]),
        examples=next(((_typed(dim, str), reader.get(each)) for dim, each in content["examples"]), None),
        first=_typed(content["first"], int),
        keep=content["keep"],
        sweep_seed=_typed(content["sweep_seed"], int),
    )


def _typed(value: Any, kind: type[Kind]) -> Kind:
    if not isinstance(value, kind):
        raise TypeError(f"{kind.__name__} expected, but found {value!r:.40}")
    return value

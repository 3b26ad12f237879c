"""Results in a file: what a result has as rows of a store, and back. No pickle, and nothing of the user's is run."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from jopt.engine.files import AnyPath, replaced
from jopt.engine.lanes.store.decoding import Unlike
from jopt.engine.lanes.store.described import Gone
from jopt.engine.lanes.store.listed import Listed
from jopt.engine.lanes.store.pieces import Kept, Piece
from jopt.engine.lanes.store.store import Store
from jopt.engine.lanes.store.together import ENDED, Together
from jopt.results import lane_trees
from jopt.results.record import SweepRecord, Timings
from jopt.transformation import GradientTransformation
from jopt.values.names import check_groups

Kind = TypeVar("Kind")
At = Callable[[tuple[int, ...]], Any]
SUFFIX = ".jopt"  # of the files in a directory that are looked at


class Damaged(ValueError):
    """A file is damaged, or none that this jopt reads."""


class Refused(ValueError):
    """What a file holds is not what somebody wants to go on with; nothing is wrong with the file."""


@dataclass(frozen=True)
class Stored:
    """What a file holds of one result; the arguments of a ``SweepResult``."""

    record: SweepRecord
    optimizer: Any
    optimizer_at: At
    hyper_at: At
    params: Any
    plan: str
    timings: Timings
    version: str
    environment: Mapping[str, str]
    state: Any
    by_step: bool
    key_kinds: Sequence[Any]


def optimizer_or_words(result: Any) -> Any:
    """The optimizer of a result, or where a pickle lacks it what it read like."""
    try:
        return result.optimizer
    except ValueError:
        gone = Gone(result.description)
        return GradientTransformation(gone, gone)


def stored_of(result: Any) -> dict[str, Stored]:
    """What a file holds of a ``Result``, by the name of the group."""
    return {name: part._stored() for name, part in result._parts().items()}


def save(results: Mapping[str, Stored], path: AnyPath) -> None:
    """Writes results by name (one named "" for a plain result) to exactly ``path``, whole or not at all."""
    with replaced(path, durable=True) as partial:
        with Store.create(partial, durable=False) as store, store.writing("save"):
            for name, result in results.items():
                _write(store, name, result)
        _settle(os.path.realpath(os.fsdecode(path)))


def _settle(path: str) -> None:
    """Ends what a writer that died has begun in a file that is to be replaced: its journal would be taken for the new one's."""
    if os.path.exists(journal := f"{path}-journal"):
        with contextlib.suppress(Exception):
            Store.open(path, write=True).close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(journal)


def _write(store: Store, name: str, result: Stored) -> None:
    record = result.record
    settings = _listed(result)
    # Lanes are numbered seed by seed, as arrays lie that come from the engine.
    lanes = np.arange(record.diverged_at.size).reshape(len(record.seeds), *record.shape)
    of_settings = np.tile(np.arange(len(settings)), len(record.seeds))
    of_seeds = np.repeat(np.asarray(record.seeds), len(settings))
    problem = store.add_problem(name, {})
    store.add_settings(problem, settings)
    store.add_lanes(problem, of_settings, of_seeds, _names(settings, record.seeds))
    write_sweep(store, problem, result, lanes)
    every = lanes.ravel()
    store.append(problem, "records", Piece(every, _by_time(record.losses), record.step))
    store.append(problem, "evaluations", Piece(every, _by_time(record.metrics), record.eval_step))
    store.append(problem, "outcomes", Piece(every, {name: np.moveaxis(x, -1, 0).ravel() for name, x in _ends(record).items()}))
    write_kept(store, problem, result, lanes)


def write_sweep(store: Store, problem: int, result: Stored, lanes: NDArray[Any], more: Mapping[str, Any] | None = None) -> None:
    """Writes the grid of a result, of which the lanes have numbers [seed, *dims], and what else is to stand beside it."""
    store.add_sweep(problem, {**_about(result, lanes), **(more or {})})


def write_kept(store: Store, problem: int, result: Stored, lanes: NDArray[Any]) -> None:
    """Writes the parameters and states of a result."""
    record = result.record
    for what, tree in (("params", result.params), ("state", result.state)):
        if tree is not None:
            for part, leaves in lane_trees.rows(tree, lanes):
                store.keep(problem, what, Kept(part, record.last if len(record.step) else record.first, leaves))


def _listed(result: Stored) -> Listed:
    """The optimizer and ``hyper`` of each setting; where a pickle lacks them, what says so."""
    indices = list(np.ndindex(result.record.shape))

    def at(setting: int) -> Any:
        try:
            return result.optimizer_at(indices[setting]), result.hyper_at(indices[setting])
        except ValueError:
            return result.optimizer, None

    return Listed.of(at, len(indices))


def _names(settings: Listed, seeds: NDArray[Any]) -> list[str]:
    each = settings.names()
    return [hashlib.blake2b(f"{name}/{seed}".encode(), digest_size=16).hexdigest() for seed in seeds.tolist() for name in each]


def _about(result: Stored, lanes: NDArray[Any]) -> dict[str, Any]:
    record = result.record
    taken = ("dims", "kinds", "seeds", "step", "eval_step", "maximize", "examples", "first", "keep", "sweep_seed", "complete")
    return {
        **{name: getattr(record, name) for name in taken},
        "coords": {name: (dim, values) for name, (dim, values) in record.coords.items()},
        "lanes": np.moveaxis(lanes, 0, -1),
        "optimizer": result.optimizer,
        "description": repr(result.optimizer),
        "plan": result.plan,
        "timings": asdict(result.timings),
        "version": result.version,
        "environment": dict(result.environment),
        "by_step": result.by_step,
        "kept": result.params is not None,
        "key_kinds": [kind if isinstance(kind, str) else None for kind in result.key_kinds],
    }


def _ends(record: SweepRecord) -> dict[str, NDArray[Any]]:
    names = ("steps_done", "diverged_at", "pruned_at", *(["left_at"] if record.left.any() else []))
    return {name: getattr(record, name) for name in names}


def _by_time(series: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """[*dims, seed, time] as [time, lanes], a view where the engine made them."""
    return {n: np.moveaxis(x, (-1, -2), (0, 1)).reshape(x.shape[-1], math.prod(x.shape[:-1])) for n, x in series.items()}


def read(main: Store, others: Sequence[Store], like: Any = None) -> dict[str, Stored]:
    """The results in a file, by name, with what others know of its lanes; ``like`` is a tree with the user's classes.

    The files are inside ``reading``.
    """
    for store in (main, *others):
        with explained(store.database.path):
            store.database.check_pages()
            for table in ("writes", "lanes"):
                for _ in store.database.rows(table):  # that none of them is missing
                    pass
    problems, together = main.problems(), Together(main, others)
    last = {_typed(problems[k]["name"], str): (k, about) for k, about in of_last_call(main)}
    found = {name: _read(together, k, about, like) for name, (k, about) in last.items()}
    if not found:
        raise ValueError("it holds no sweep")
    if list(found) != [""]:
        check_groups(found)
    return found


def of_last_call(store: Store) -> list[tuple[int, dict[str, Any]]]:
    """The grids of the last call, each with its problem; a file of ``save`` has one call."""
    sweeps = store.sweeps()
    last = sweeps[-1][1].get("call", 0) if sweeps else 0
    return [each for each in sweeps if each[1].get("call", 0) == last]


@contextlib.contextmanager
def explained(name: str) -> Iterator[None]:
    """Whatever goes wrong inside as an error about the file."""
    try:
        yield
    except (OSError, Unlike, Refused, Damaged):
        raise
    except Exception as error:  # of what a damaged or foreign file makes SQLite, JSON, NumPy and the look-ups do
        reason = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        raise Damaged(
            f"{name!r} is damaged or not a result that this jopt can read: {reason[:300]}. Give the name of a file written by "
            f"result.save(path); `python -m jopt inspect` says what is damaged in one."
        ) from error


def _read(store: Together, problem: int, about: dict[str, Any], like: Any) -> Stored:
    shared = "slice" in about or bool(store.others)  # then no process can say whether all lanes have ended
    record = _read_record(store, problem, about, _ended(store, problem, about) if shared else _typed(about["complete"], bool))
    lanes, settings, last = about["lanes"], store.settings(problem), record.last if len(record.step) else record.first
    of_lane = store.lanes(problem).settings
    grid = of_lane[lanes[..., 0]] if lanes.shape[-1] else np.zeros(lanes.shape[:-1], np.int64)

    def part_at(which: int) -> At:
        return lambda index: settings(int(grid[index]))[which]

    kept = {
        what: lane_trees.tree([x for x in store.kept(problem, what, like, lanes) if x.step >= last or not shared], lanes)
        if shared or about.get("kept", record.complete)
        else None
        for what in ("params", "state")
    }
    return Stored(
        record,
        optimizer=about["optimizer"],
        optimizer_at=part_at(0),
        hyper_at=part_at(1),
        **kept,
        plan=_typed(about["plan"], str),
        timings=_timings(about["timings"]),
        version=_typed(about["version"], str),
        environment={_typed(name, str): _typed(told, str) for name, told in _typed(about["environment"], dict).items()},
        by_step=_typed(about["by_step"], bool),
        key_kinds=tuple(_typed(about["key_kinds"], list)),
    )


def _ended(store: Together, problem: int, about: dict[str, Any]) -> bool:
    """Whether all lanes have come to their end, and what is kept of them is there."""
    lanes, last = about["lanes"], int(about["step"][-1] if len(about["step"]) else about["first"])
    ends = store.outcomes(problem, lanes, about["first"])
    if not ((ends["steps_done"] >= last) | np.isin(ends["state"], ENDED)).all():
        return False
    return about["keep"] == "none" or bool(np.isin(lanes, store.lanes_kept(problem, "params", last)).all())


def _read_record(store: Together, problem: int, about: dict[str, Any], complete: bool) -> SweepRecord:
    lanes, first = _typed(about["lanes"], np.ndarray), _typed(about["first"], int)
    by_seed = np.moveaxis(lanes, -1, 0)

    def over(table: Any, steps: Any) -> dict[str, NDArray[Any]]:
        found = store.recorded(problem, table, by_seed, _typed(steps, np.ndarray))
        return {name: np.moveaxis(x, 0, -2) for name, x in found.items()}

    ends = store.outcomes(problem, by_seed, first)
    ends = {name: np.moveaxis(ends[name], 0, -1) for name in ("steps_done", "diverged_at", "pruned_at", "left_at")}
    done = ends["steps_done"][..., None]
    begins = np.concatenate([[first], about["step"]])[:-1]  # of windows; a lane may have begun one and not come to its end
    return SweepRecord(
        dims=tuple(_typed(dim, str) for dim in about["dims"]),
        coords=about["coords"],
        kinds=_typed(about.get("kinds", {}), dict),
        seeds=about["seeds"],
        step=about["step"],
        eval_step=about["eval_step"],
        losses=_until(over("records", about["step"]), begins < done),
        metrics=_until(over("evaluations", about["eval_step"]), about["eval_step"] <= done),
        **ends,
        maximize=tuple(_typed(about["maximize"], tuple)),
        examples=about["examples"],
        first=first,
        keep=about["keep"],
        sweep_seed=_typed(about["sweep_seed"], int),
        complete=complete,
    )


def _until(series: dict[str, NDArray[Any]], ran: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """NaN behind where lanes ended, which they may have come past before it was noticed."""
    if not ran.all():
        for values in series.values():
            values[~ran] = np.nan
    return series


def _timings(content: dict[str, Any]) -> Timings:
    seconds = {name: float(content[name]) for name in ("compile_s", "run_s", "total_s")}
    return Timings(**seconds, lane_steps=_typed(content["lane_steps"], int))


def _typed(value: Any, kind: type[Kind]) -> Kind:
    if not isinstance(value, kind):
        raise TypeError(f"{kind.__name__} expected, but found {value!r:.40}")
    return value

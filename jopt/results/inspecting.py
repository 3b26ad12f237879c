"""What is in a file of results, and what is damaged in it."""

from __future__ import annotations

import dataclasses
import html
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from jopt.engine.files import AnyPath
from jopt.engine.lanes.store.published import ENDED
from jopt.engine.lanes.store.store import Store
from jopt.engine.lanes.store.together import Together
from jopt.results import text
from jopt.results.directory import again, files_of, newest, opened, slice_of
from jopt.results.storage import explained, of_last_call

HEADER = ("group", "optimizer", "settings", "seeds", "lanes", "steps", "finished", "pruned", "diverged", "to go", "kept")


@dataclasses.dataclass(frozen=True)
class Inspected:
    """One sweep in a file.

    Attributes:
      name: Of the group; "" where one optimizer was swept.
      optimizer: As it read.
      axes: Its axes, with the number of values of each.
      settings: How many settings.
      seeds: How many seeds.
      steps: The last step.
      steps_done: The fewest and the most steps that a lane has done.
      finished: How many lanes have done all steps.
      pruned: How many were pruned.
      diverged: How many diverged, before the last step or at it.
      left: How many were left behind, where another one went on.
      kept: What is kept of the lanes, in bytes by name.
    """

    name: str
    optimizer: str
    axes: dict[str, int]
    settings: int
    seeds: int
    steps: int
    steps_done: tuple[int, int]
    finished: int
    pruned: int
    diverged: int
    left: int
    kept: dict[str, int]

    @property
    def lanes(self) -> int:
        """How many lanes."""
        return self.settings * self.seeds

    @property
    def to_go(self) -> int:
        """How many lanes have not come to their end."""
        return self.lanes - self.finished - self.pruned - self.diverged - self.left

    def _cells(self) -> list[str]:
        low, high = self.steps_done
        done = (
            f"{self.steps}"
            if low == high == self.steps
            else f"{low} to {high} of {self.steps}"
            if low < high
            else f"{low} of {self.steps}"
        )
        kept = ", ".join(f"{name} ({_size(size)})" for name, size in self.kept.items()) or "nothing"
        shape = " x ".join(f"{count} {name}" for name, count in self.axes.items()) or "1"
        lanes = f"{self.lanes} ({self.left} left behind)" if self.left else f"{self.lanes}"
        ends = [str(count) for count in (self.finished, self.pruned, self.diverged, self.to_go)]
        return [self.name or "-", _short(self.optimizer), shape, str(self.seeds), lanes, done, *ends, kept]


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What ``jopt.inspect`` found in a file: ``print`` it, or let a notebook show it.

    Attributes:
      path: The file, or the directory that several processes share.
      size: Its bytes.
      versions: Of jopt, JAX, NumPy and others, when it was last written.
      writes: When it was written and what for, the first time first.
      sweeps: What is in it, a row for each optimizer that was compared.
      damage: What is wrong with it, in sentences; empty: everything is as it was written.
      files: In a directory that several processes share, the name of each one's file, and who writes it, or did.
    """

    path: str
    size: int
    versions: dict[str, str]
    writes: Sequence[tuple[str, str]]
    sweeps: Sequence[Inspected]
    damage: Sequence[str]
    files: Sequence[tuple[str, str]] = ()

    def __str__(self) -> str:
        """The file, its sweeps as a table, and what is damaged."""
        lines = [f"{self.path}: {_size(self.size)}{self._written()}", *(f"- {name}: {who}" for name, who in self.files)]
        if self.sweeps:
            lines += ["", text.aligned(HEADER, [sweep._cells() for sweep in self.sweeps])]
        return text.printable("\n".join([*lines, "", *self._state()]))

    def _written(self) -> str:
        if not self.writes:
            return ""
        first, last = self.writes[0], self.writes[-1]
        when = f"{last[0]} ({last[1]})" if len(self.writes) == 1 else f"{first[0]} to {last[0]} ({len(self.writes)} times)"
        by = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return f", written {when} by {by}"

    def _state(self) -> list[str]:
        if not self.damage:
            return ["Intact: every row is as it was written."]
        return [f"Damaged in {text.count(len(self.damage), 'place')}:", *(f"- {line}" for line in self.damage)]

    def _repr_html_(self) -> str:
        rows = [f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in sweep._cells())}</tr>" for sweep in self.sweeps]
        head = "".join(f"<th>{name}</th>" for name in HEADER)
        table = f"<table><tr>{head}</tr>{''.join(rows)}</table>" if rows else ""
        first = html.escape(f"{self.path}: {_size(self.size)}{self._written()}")
        files = "".join(f"<li>{html.escape(name)}: {html.escape(who)}</li>" for name, who in self.files)
        return (
            f"<p>{first}</p>{f'<ul>{files}</ul>' if files else ''}{table}<p>{'<br>'.join(map(html.escape, self._state()))}</p>"
        )


def inspect(path: AnyPath) -> Inspection:
    """What is in a file that ``result.save`` or a checkpoint wrote, and whether it is intact.

    Every row of the file is read and compared with its digest, so that a large file takes as long as to read it.

    Args:
      path: The file, or a directory: of a checkpoint, also one that several processes share (``jopt.Slice``), of which all
        files are looked at together, or one that holds one ``.jopt`` file.

    Returns:
      An ``Inspection``: its ``str()`` is a table, ``.sweeps`` and ``.damage`` have the parts. Of a damaged file it has what can
      still be read, and says what can't.

    Raises:
      OSError: For a file that can't be opened: FileNotFoundError where there is none.
      ValueError: For a file that is none of jopt's, or of another version.

    Example:
      >>> result = jopt.sweep(lambda x, batch: (x**2).sum(), jnp.ones(2), jopt.sgd(jopt.choice(0.1, 0.2)), steps=5)
      >>> result.save("sgd.jopt")
      >>> jopt.inspect("sgd.jopt").sweeps[0].axes
      {'learning_rate': 2}
    """
    return again(lambda: _inspect(path))


def _inspect(path: AnyPath) -> Inspection:
    files = files_of(path)
    if len(files) > 1 or slice_of(files[0]):
        return _inspect_together(os.fsdecode(path), files)
    (file,) = files
    with explained(file), Store.open(file) as store:
        damage = store.verify()
        writes, sweeps = _Tolerant(store, damage).read()
        size = os.stat(file).st_size
        return Inspection(file, size, _versions(writes), _lines(writes), sweeps, damage)


def _inspect_together(path: str, files: Sequence[str]) -> Inspection:
    """The files of all processes that share a directory; those that are damaged are named, and left out."""
    damage, sound = [], []
    for file in files:
        try:
            with explained(file), Store.open(file, published=slice_of(file) is not None) as store:
                found = [f"{os.path.basename(file)}: {line}" for line in store.verify()]
        except ValueError as error:
            found = [str(error)]
        damage += found
        if not found:
            sound.append(file)
    size = sum(os.stat(file).st_size for file in files)
    if not sound:
        return Inspection(path, size, {}, [], [], damage)
    with explained(path), opened(sound) as stores:
        each = {os.path.basename(store.database.path): store.writes() for store in stores}
        named = [(name, _who(store, writes)) for store, (name, writes) in zip(stores, each.items(), strict=True)]
        main = stores.pop(newest(stores))
        sweeps = _Tolerant(main, damage, stores).sweeps()
        writes = sorted((line for lines in each.values() for line in lines), key=lambda line: str(line["at"]))
        return Inspection(path, size, _versions(writes), _lines(writes), sweeps, damage, named)


def _who(store: Store, writes: Sequence[dict[str, Any]]) -> str:
    last = of_last_call(store)
    who = str(last[-1][1].get("who", "nobody")) if last else "nobody"
    how = "has ended" if writes and writes[-1]["what"] == ENDED else f"wrote at {writes[-1]['at']}" if writes else "is empty"
    return f"{who}, {how}"


def _versions(writes: Sequence[dict[str, Any]]) -> dict[str, str]:
    return {str(name): str(version) for each in writes[-1:] for name, version in each["versions"].items()}


def _lines(writes: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(str(each["at"]), str(each["what"])) for each in writes]


class _Tolerant:
    """Reads what can be read; ``damage`` is known already, and gets what turns up beside it."""

    def __init__(self, store: Store, damage: list[str], others: Sequence[Store] = ()) -> None:
        self.store, self.damage = store, damage
        self.together = Together(store, others)

    def read(self) -> tuple[list[dict[str, Any]], list[Inspected]]:
        """What was written, and the sweeps."""
        try:
            with self.store.reading():
                return self._try(self.store.writes, []), self.sweeps()
        except Exception as error:  # of a file that is damaged where all of it begins
            self._note(error, None)
            return [], []

    def sweeps(self) -> list[Inspected]:
        """The sweeps; the file is inside ``reading``."""
        return list(self._try(self._sweeps, []))

    def _try(self, read: Any, otherwise: Any) -> Any:
        try:
            return read()
        except Exception as error:
            return self._note(error, otherwise)

    def _note(self, error: Exception, otherwise: Any) -> Any:
        if not any(str(error) in line for line in self.damage):
            self.damage.append(str(error) or type(error).__name__)
        return otherwise

    def _sweeps(self) -> list[Inspected]:
        names = {number: str(about["name"]) for number, about in self.store.problems().items()}
        last = {names[problem]: (problem, about) for problem, about in of_last_call(self.store)}
        found = (self._try(lambda p=p, a=a, n=n: self._sweep(n, p, a), None) for n, (p, a) in last.items())
        return [each for each in found if each is not None]

    def _sweep(self, name: str, problem: int, about: dict[str, Any]) -> Inspected:
        lanes, steps = about["lanes"], int(about["step"][-1] if len(about["step"]) else about["first"])
        ends = self.together.outcomes(problem, lanes, about["first"])
        done, diverged = ends["steps_done"], ~np.isnan(ends["diverged_at"])
        pruned = ~np.isnan(ends["pruned_at"]) & ~diverged  # each lane counts once
        left = ~np.isnan(ends["left_at"]) & ~diverged & ~pruned
        finished = (done >= steps) & ~diverged & ~pruned & ~left
        return Inspected(
            name,
            str(about["description"]),
            dict(zip(map(str, about["dims"]), lanes.shape, strict=False)),
            int(np.prod(lanes.shape[:-1], dtype=np.int64)),
            lanes.shape[-1],
            steps,
            (int(done.min(initial=steps)), int(done.max(initial=0))),
            int(finished.sum()),
            int(pruned.sum()),
            int(diverged.sum()),
            int(left.sum()),
            {str(what): size for what, size in self.together.sizes(problem).items() if size},
        )


def _size(count: int) -> str:
    if count < 1000:
        return f"{count} bytes"
    unit = min(3, (len(str(count)) - 1) // 3)
    return f"{count / 1000**unit:.3g} {('', 'kB', 'MB', 'GB')[unit]}"


def _short(words: str) -> str:
    return words if len(words) <= 60 else f"{words[:57]}..."

"""Results as runs that TensorBoard shows: curves as scalars, settings and final scores in its HParams table.

A setting is a directory, with one below it for each seed where there are several; TensorBoard knows these as the sessions of
one group, and averages them. tensorboardX writes the files: a few hundred kilobytes beside protobuf, where tensorboard itself
brings a server.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jopt.engine.files import AnyPath
from jopt.results import scores, text
from jopt.results.record import SweepRecord
from jopt.values import require

FINAL = "final/"  # what the tags of scores begin with
LONGEST = 120  # characters of the name of a directory; file systems take 255 bytes
GROUP = "group"  # the name of the optimizer among the hyperparameters, as in ``to_pandas``
PLUGIN = "hparams"
# TensorBoard shows the columns first whose field 7, ``differs``, is true, which tensorboardX does not know: here in protobuf's
# own form, which is kept as it is.
DIFFERS = bytes([7 << 3, 1])


class Run(NamedTuple):
    """One setting.

    Attributes:
      name: Of its directory, below that of the whole.
      hparams: Name -> value: a number, a bool or a string.
      record: Where it is from.
      place: Where in its grid.
    """

    name: str
    hparams: dict[str, Any]
    record: SweepRecord
    place: tuple[int, ...]


def write(records: Mapping[str, SweepRecord], directory: AnyPath) -> None:
    """See ``Result.to_tensorboard``."""
    _check_installed()
    root = Path(require.path("to_tensorboard: directory", directory))
    _check_empty(root)
    runs = _alike(list(_runs(records)))
    root.mkdir(parents=True, exist_ok=True)
    _write_events(root, [(0, _experiment(runs))])
    finals = {id(record): _finals(record) for record in records.values()}
    for run in runs:
        for i, seed in enumerate(run.record.seeds):
            folder = root / run.name / (f"seed={seed}" if len(run.record.seeds) > 1 else "")
            folder.mkdir(parents=True)
            _write_events(folder, _events(run, i, finals[id(run.record)]))


def _check_installed() -> None:
    try:
        import tensorboardX  # noqa: F401
    except ImportError as error:
        raise ImportError('to_tensorboard needs tensorboardX: python -m pip install "jopt[tensorboard]".') from error


def _check_empty(root: Path) -> None:
    if root.exists() and not root.is_dir():
        raise FileExistsError(f"to_tensorboard: {str(root)!r} is a file; give a directory.")
    if root.is_dir() and (first := next(root.iterdir(), None)) is not None:
        raise FileExistsError(
            f"to_tensorboard: {str(root)!r} holds {first.name!r} already; give a new or an empty directory, so that no run is "
            f"overwritten or mixed with others."
        )


# Names and hyperparameters of runs.


def _runs(records: Mapping[str, SweepRecord]) -> Iterator[Run]:
    taken: set[str] = set()
    for group, record in records.items():
        for index in np.ndindex(record.shape):
            setting = record.setting(index)
            name = _free("/".join([*([_safe(group)] if group else []), _folder(setting)]), taken)
            taken.add(name.lower())  # some file systems take "Adam" and "adam" for one
            yield Run(name, {**({GROUP: group} if group else {}), **setting}, record, index)


def _folder(setting: Mapping[str, Any]) -> str:
    name = _safe(",".join(f"{name}={_shown(value)}" for name, value in setting.items()) or "run")
    return name if len(name) <= LONGEST else name[:LONGEST].rstrip() + "..."


def _shown(value: Any) -> str:
    return str(value) if isinstance(value, bool) else text.number(value)


def _safe(name: str) -> str:
    """A name without characters that paths or TensorBoard give a meaning, and not hidden."""
    return re.sub(r"^\.+", "_", re.sub(r"[^\w.,=+\- ]", "_", name)).strip() or "_"


def _free(name: str, taken: set[str]) -> str:
    """The name, with a number behind it where two settings read the same."""
    free, count = name, 1
    while free.lower() in taken:
        count += 1
        free = f"{name}_{count}"
    return free


def _alike(runs: list[Run]) -> list[Run]:
    """The runs with hyperparameters that are all numbers, all bools, or else strings: a column has one type."""
    kinds: dict[str, set[str]] = {}
    for run in runs:
        for name, value in run.hparams.items():
            kinds.setdefault(name, set()).add(_kind(value))
    convert = {
        name: {"bool": bool, "number": float}.get(found.pop(), str) if len(found) == 1 else str for name, found in kinds.items()
    }
    return [run._replace(hparams={name: convert[name](value) for name, value in run.hparams.items()}) for run in runs]


def _kind(value: Any) -> str:
    return "bool" if isinstance(value, bool) else "number" if isinstance(value, (int, float)) else "string"


def _finals(record: SweepRecord) -> dict[str, NDArray[np.float64]]:
    """Name -> [*dims, seed], the last score of everything recorded; NaN where the setting is out, in all of its seeds."""
    found = {}
    for name in record.metric_names:
        if len(record.step if name in record.losses else record.eval_step):
            scored = scores.score(record, scores.Ranking(name, "min", "last"))
            found[name] = np.where(np.isnan(scored.mean)[..., None], np.nan, scored.per_seed)
    return found


# Events.


def _write_events(folder: Path, summaries: Any) -> None:
    """A file of events, of steps and summaries in order."""
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.event_pb2 import Event

    writer, now = EventsWriter(str(folder / "events")), time.time()
    try:
        for step, summary in summaries:
            writer.write_event(Event(wall_time=now, step=int(step), summary=summary))
    finally:
        writer.close()


def _events(run: Run, seed: int, finals: Mapping[str, NDArray[np.float64]]) -> Iterator[tuple[int, Any]]:
    """All of one lane: what it is, its curves, its final scores, how it ended."""
    lane = (*run.place, seed)
    yield 0, _session_start(run)
    yield from _curves(run.record, lane)
    end = int(run.record.steps_done[lane])
    last = {FINAL + name: float(values[lane]) for name, values in finals.items() if np.isfinite(values[lane])}
    if last:
        yield end, _scalars(last)
    yield end, _session_end(bool(run.record.diverged[lane]))


def _curves(record: SweepRecord, lane: tuple[int, ...]) -> Iterator[tuple[int, Any]]:
    """The scalars of a lane at each step, up to where it ended."""
    at: dict[int, dict[str, float]] = {}
    for steps, arrays in ((record.step, record.losses), (record.eval_step, record.metrics)):
        for name, values in arrays.items():
            for step, value in zip(steps.tolist(), np.asarray(values[lane], np.float64).tolist(), strict=True):
                if step <= record.steps_done[lane] or np.isfinite(value):
                    at.setdefault(step, {})[name] = value
    for step in sorted(at):
        yield step, _scalars(at[step])


def _scalars(values: Mapping[str, float]) -> Any:
    from tensorboardX.proto.summary_pb2 import Summary

    return Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in values.items()])


def _experiment(runs: list[Run]) -> Any:
    """What the table shows: a column for each hyperparameter and each final score."""
    from tensorboardX.proto.api_pb2 import Experiment, MetricInfo, MetricName

    values: dict[str, list[Any]] = {}
    for run in runs:
        for name, value in run.hparams.items():
            values.setdefault(name, []).append(value)
    metrics = dict.fromkeys(name for run in runs for name in run.record.metric_names)
    infos = [MetricInfo(name=MetricName(tag=FINAL + name), display_name=name) for name in metrics]
    columns = [_column(name, found) for name, found in values.items()]
    made = Experiment(name="jopt sweep", hparam_infos=columns, metric_infos=infos, time_created_secs=time.time())
    return _plugin_summary("experiment", experiment=made)


def _column(name: str, values: list[Any]) -> Any:
    """A hyperparameter's type and values; numbers have an interval, as hundreds of boxes to tick help nobody."""
    from tensorboardX.proto.api_pb2 import DATA_TYPE_BOOL, DATA_TYPE_FLOAT64, DATA_TYPE_STRING, HParamInfo, Interval

    kind = type(values[0])
    types = {float: DATA_TYPE_FLOAT64, bool: DATA_TYPE_BOOL, str: DATA_TYPE_STRING}
    info = HParamInfo(name=name, type=types[kind])
    if kind is float:
        info.domain_interval.CopyFrom(Interval(min_value=min(values), max_value=max(values)))
    else:
        info.domain_discrete.extend(list(dict.fromkeys(values)))
    if len(set(values)) > 1:
        info.MergeFromString(DIFFERS)
    return info


def _session_start(run: Run) -> Any:
    from tensorboardX.proto.plugin_hparams_pb2 import SessionStartInfo

    start = SessionStartInfo(group_name=run.name, start_time_secs=time.time())
    for name, value in run.hparams.items():
        setattr(start.hparams[name], f"{_kind(value)}_value", value)
    return _plugin_summary("session_start_info", session_start_info=start)


def _session_end(diverged: bool) -> Any:
    from tensorboardX.proto.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS
    from tensorboardX.proto.plugin_hparams_pb2 import SessionEndInfo

    status = STATUS_FAILURE if diverged else STATUS_SUCCESS
    return _plugin_summary("session_end_info", session_end_info=SessionEndInfo(status=status, end_time_secs=time.time()))


def _plugin_summary(tag: str, **data: Any) -> Any:
    """A summary with nothing in it but what the HParams plugin reads."""
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData
    from tensorboardX.proto.summary_pb2 import Summary, SummaryMetadata

    content = HParamsPluginData(version=0, **data).SerializeToString()
    plugin = SummaryMetadata.PluginData(plugin_name=PLUGIN, content=content)
    return Summary(value=[Summary.Value(tag=f"_hparams_/{tag}", metadata=SummaryMetadata(plugin_data=plugin))])

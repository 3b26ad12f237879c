"""A record as labelled tables: an xarray Dataset, a long pandas DataFrame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from jopt.recording import RECORDS
from jopt.results.record import SweepRecord
from jopt.values.names import EVALUATED_EXAMPLES, EXAMPLES

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


def to_dataset(record: SweepRecord, attrs: dict[str, Any]) -> xr.Dataset:
    """The record as a dataset: dims [*dims, seed, step, eval_step], arrays shared, not copied."""
    import xarray as xr

    lanes = (*record.dims, "seed")
    losses = {
        name: ((*lanes, "step"), _plain(values), _about(_loss_label(name), "1")) for name, values in record.losses.items()
    }
    metrics = {
        name: ((*lanes, "eval_step"), _plain(values), _about(f"{name}, evaluated", "1"))
        for name, values in record.metrics.items()
    }
    outcome = {
        "diverged_at": (
            lanes,
            record.diverged_at,
            _about("step at which a loss, parameter or state was seen not to be finite (NaN: never)", "steps"),
        ),
        "pruned_at": (lanes, record.pruned_at, _about("step at which the lane was pruned (NaN: never)", "steps")),
        "steps_done": (lanes, record.steps_done, _about("steps that the lane ran", "steps")),
    }
    if record.left.any():
        about = _about("step at which the lane was left behind, where another one went on (NaN: never)", "steps")
        outcome["left_at"] = (lanes, record.left_at, about)
    return xr.Dataset({**losses, **metrics, **outcome}, coords=_coords(record), attrs=attrs)


def _coords(record: SweepRecord) -> dict[str, Any]:
    swept = {
        name: (dim, _as_they_are(values), _about(name.replace("_", " "), "1")) for name, (dim, values) in record.coords.items()
    }
    return {
        **swept,
        **_examples(record),
        "seed": ("seed", record.seeds, {"long_name": "seed"}),
        "step": ("step", record.step, _about("last step of the record, from 1", "steps")),
        "eval_step": (
            "eval_step",
            record.eval_step,
            _about("steps done at the evaluation", "steps"),
        ),
    }


def _as_they_are(values: NDArray[Any]) -> Any:
    """Values of an axis, ``None`` as it is: beside strings pandas would make NaN of it."""
    import pandas as pd

    return pd.Index(values, dtype=object) if values.dtype == object else values


def _examples(record: SweepRecord) -> dict[str, Any]:
    """How many examples a lane has seen at each record and each evaluation, where batch sizes were swept."""
    if record.examples is None:
        return {}
    dim, each = record.examples
    about = _about("examples seen", "examples")
    return {
        EXAMPLES: ((dim, "step"), each[:, None] * record.step, about),
        EVALUATED_EXAMPLES: ((dim, "eval_step"), each[:, None] * record.eval_step, about),
    }


def _plain(values: NDArray[Any]) -> NDArray[Any]:
    """Values in a type of NumPy's own: xarray and pandas cannot work with bfloat16 and its like."""
    return values.astype(np.float32) if values.dtype.kind == "V" else values


def _loss_label(name: str) -> str:
    return f"{RECORDS.get(name, f'training {name}')}, mean over the steps of the record"


def _about(long_name: str, units: str) -> dict[str, str]:
    return {"long_name": long_name, "units": units}


def frame(records: Mapping[str, SweepRecord], metric: str | None, kind: Literal["final", "curves"]) -> pd.DataFrame:
    """The long table of some groups, ``group`` first; of one record without a name the table alone."""
    import pandas as pd

    build = _final_frame if kind == "final" else _curves_frame
    frames = {name: build(record, metric) for name, record in records.items()}
    if list(frames) == [""]:
        return frames[""]
    table = pd.concat([each.assign(group=name) for name, each in frames.items()], ignore_index=True)
    return table[["group", *(column for column in table.columns if column != "group")]]


def _final_frame(record: SweepRecord, metric: str | None) -> pd.DataFrame:
    """One row per setting and seed: hyperparameters, seed, last values, diverged_at, pruned_at, steps_done."""
    import pandas as pd

    names = record.metric_names if metric is None else (metric,)
    columns = _lane_columns(record)
    for name in names:
        # Nothing recorded of a metric is a column of NaN in a table of all, an error if asked for.
        empty = metric is None and not _recorded(record, name)
        columns[name] = np.nan if empty else _plain(record.series(name).values[..., -1]).ravel()
    columns["diverged_at"] = record.diverged_at.ravel()
    columns["pruned_at"] = record.pruned_at.ravel()
    columns["steps_done"] = record.steps_done.ravel()
    return pd.DataFrame(columns)


def _curves_frame(record: SweepRecord, metric: str | None) -> pd.DataFrame:
    """One row per setting, seed, time and metric: hyperparameters, seed, step, metric, value."""
    import pandas as pd

    names = record.metric_names if metric is None else (metric,)
    wanted = [name for name in names if metric is not None or _recorded(record, name)]
    return pd.concat([_one_curve(record, name) for name in wanted], ignore_index=True)


def _one_curve(record: SweepRecord, name: str) -> pd.DataFrame:
    import pandas as pd

    _, steps, values = record.series(name)
    lanes = {key: np.repeat(column, len(steps)) for key, column in _lane_columns(record).items()}
    count = record.diverged_at.size
    time = {"step": np.tile(steps, count), "metric": name, "value": _plain(values).ravel()}
    return pd.DataFrame({**lanes, **time})


def _lane_columns(record: SweepRecord) -> dict[str, Any]:
    where = np.indices(record.diverged_at.shape).reshape(record.diverged_at.ndim, -1)
    columns: dict[str, NDArray[Any]] = {
        name: values[where[record.dims.index(dim)]] for name, (dim, values) in record.coords.items()
    }
    return {**columns, "seed": np.asarray(record.seeds)[where[-1]]}


def _recorded(record: SweepRecord, name: str) -> bool:
    return bool(len(record.step if name in record.losses else record.eval_step))

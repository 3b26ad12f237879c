"""Going on: a trial of an earlier sweep as the beginning of the next one."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from jopt.engine.job import Begun
from jopt.results import Trial
from jopt.values.pairs import by_name
from jopt.values.trees import flatten


def begun_of(trial: Trial, every: int | None, by_step: bool) -> Begun:
    """Where the lanes of each seed of a trial go on; ``by_step`` says that they do in ``sweep_steps``.

    Of the trial's evaluations those after each ``every`` steps count, as they would in one sweep of all steps: the one after
    the last step may have been made only because that was the last.
    """
    _check(trial, by_step)
    record, index = trial.result.record, trial.index
    carry = trial.params_by_seed if by_step else (trial.raw_params_by_seed, trial.state_by_seed)
    due = np.flatnonzero((record.eval_step > 0) & (record.eval_step % (every or 1) == 0))
    latest = int(due[-1]) if every and len(due) else None
    evaluated = {} if latest is None else {name: values[index][:, latest] for name, values in record.metrics.items()}
    fresh = latest is not None and int(record.eval_step[latest]) == record.last
    return Begun(record.last, jax.tree.map(np.asarray, carry), evaluated, fresh, "" if by_step else _name_of(trial))


def _name_of(trial: Trial) -> str:
    """The rules of a trial's optimizer, by name; empty where its file could not be read back as one."""
    try:
        return by_name(trial.optimizer)
    except Exception:  # whatever its factory raises
        return ""


def first_carry(trial: Trial, begun: Begun) -> Any:
    """The carry of the first seed with real random keys, for ``sweep_steps``: what a lane is like."""
    leaves, treedef = flatten(begun.of(0))
    kinds = trial.result.key_kinds_at(trial.index) or [None] * len(leaves)
    keys = [x if kind is None else jax.random.wrap_key_data(x, impl=kind) for x, kind in zip(leaves, kinds, strict=True)]
    return treedef.unflatten(keys)


def _check(trial: Trial, by_step: bool) -> None:
    result, record = trial.result, trial.result.record
    if result.by_step != by_step:
        own, other = ("sweep_steps", "sweep") if by_step else ("sweep", "sweep_steps")
        raise ValueError(f"jopt.{own} can't go on from a trial of jopt.{other}, which has another carry; go on with that.")
    if record.keep != ("params" if by_step else "carry"):
        more = "" if by_step else "; or give params=trial.params, which begins with a new state of the optimizer"
        raise ValueError(
            f"A sweep goes on from the parameters and the state that another one ended with, but this trial is of a sweep with "
            f'keep="{record.keep}"; give that one keep="carry"{more}.'
        )
    for seed, done in zip(record.seeds.tolist(), record.steps_done[trial.index].tolist(), strict=True):
        if done < record.last:
            raise ValueError(
                f"The sweep can't go on from this trial: seed {seed} has done {done} of {record.last} steps, and then diverged "
                f"or was stopped."
            )

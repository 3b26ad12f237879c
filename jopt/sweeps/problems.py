"""What is trained, by names that are the same in another process, and what has changed of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from jopt.engine.compiled.fingerprint import digest, of_arrays, of_trace, shapes_of
from jopt.engine.job import Job
from jopt.engine.lanes.names import structures_of
from jopt.engine.lanes.store.store import versions
from jopt.engine.running.runtime import Runtime
from jopt.results.storage import Refused

Parts = Mapping[str, str]  # of one program

# In the order in which they are named; where a part has changed, those behind it follow from it and say nothing.
FOLLOWS: dict[str, tuple[str, ...]] = {
    "call": ("params", "init", "shapes", "loss", "evaluate", "record"),
    "seed": (),
    "record_every": (),
    "keep": (),
    "data": ("shapes", "loss", "evaluate"),
    "batches": ("shapes", "loss"),
    "batch_size": ("batches", "loss"),
    "optimizer": ("init", "shapes", "loss", "evaluate", "record"),
    "hyper": ("init", "shapes", "loss", "evaluate", "record", "batches"),
    "params": ("init", "shapes", "loss", "evaluate"),
    "init": ("shapes", "loss", "evaluate"),
    "shapes": ("loss", "evaluate"),
    "record": ("loss",),
    "evaluate": (),
    "loss": (),
}
_PLURAL = ("data", "params", "shapes")
_WORDS = {
    "call": "the function (jopt.sweep or jopt.sweep_steps)",
    "seed": "seed=",
    "record_every": "record_every=",
    "keep": "keep= (whether the best is kept)",
    "data": "the data",
    "batches": "the function that makes batches",
    "batch_size": "batch_size=",
    "optimizer": "the optimizer",
    "hyper": "hyper=",
    "params": "the initial parameters",
    "init": "init (or how the optimizer's state begins)",
    "shapes": "the shapes of parameters or state",
    "record": "what is recorded",
    "evaluate": "evaluate=",
    "loss": "the loss",
}


def of_call(job: Job, data: str | None) -> dict[str, str]:
    """What all programs of a call have in common.

    Raises:
      ValueError: For an iterable without a name.
    """
    feed = job.feed
    if feed.lockstep and data is None:
        raise ValueError(
            "checkpoint: the data are an iterable of batches, which nobody can tell from another one; name them: "
            'checkpoint=jopt.Checkpoint(path, data="imagenet-64 v2"). A sweep that goes on passes over the batches that it has '
            "had, so the iterable must yield the same ones again, in the same order."
        )
    begun = None if job.begun is None else (job.begun.step, of_arrays(job.begun.carry))
    return {
        "call": type(job.program).__name__,
        "seed": str(job.seed),
        "record_every": str(job.record_every),
        "keep": str(job.keep == "best"),
        "data": digest(data, feed.lockstep, of_arrays(getattr(feed, "host", feed.data))),
        "params": digest(begun, of_arrays(job.given) if job.given is not None else None),
    }


def of_program(runtime: Runtime) -> dict[str, str]:
    """What one program computes."""
    found = runtime.analysis
    step = found.step
    return {
        **structures_of(runtime.job.space),
        "batches": of_trace(step.batch),
        "init": of_trace(found.start),
        "shapes": shapes_of(found.carry),
        "record": digest(*(name for name, _ in step.metrics)),
        "evaluate": of_trace(found.evaluate),
        "loss": digest(of_trace(step.traced), step.source.kind),
    }


def changed(parts: Parts, known: Iterable[Parts]) -> list[str]:
    """What has changed since the known program that is most like one; nothing: it is known."""
    each = ([name for name in FOLLOWS if parts[name] != other.get(name)] for other in known)
    differs = min(each, key=len)
    follow = {behind for name in differs for behind in FOLLOWS[name]}
    return [name for name in differs if name not in follow] or differs


def changes(groups: Mapping[str, Sequence[Parts]], known: Mapping[str, Sequence[Parts]]) -> list[str]:
    """What has changed of a call since another one; nothing: it goes on from that, with further settings perhaps.

    Args:
      groups: Of each group its programs.
      known: In the same way, of the other call.
    """
    differs: list[str] = []
    for name in groups.keys() & known.keys():
        found = [changed(parts, known[name]) for parts in groups[name]]
        if all(found):  # where one is known, the others are further values of an axis of structure
            differs += [part for part in min(found, key=len) if part not in differs]
    if not groups.keys() & known.keys():
        return ["optimizer"]
    return [name for name in FOLLOWS if name in differs]


def words(differs: Sequence[str], by_step: bool) -> str:
    """Parts in words."""
    named = ["the step" if by_step and name == "loss" else _WORDS[name] for name in differs]
    return " and ".join(named) + (" are" if len(named) > 1 or differs[0] in _PLURAL else " is")


def name_of(parts: Parts) -> str:
    """A name for what a program computes."""
    return digest(sorted(parts.items()))


def refusal(directory: str, differs: Sequence[str], before: Mapping[str, str], by_step: bool) -> Exception:
    """The error for a directory that holds another sweep; ``before`` are the versions of what wrote it."""
    now = versions()
    other = [f"{name} {before[name]} (here it is {now.get(name)})" for name in before if before[name] != now.get(name)]
    upgraded = f" It was written by {', '.join(other)}, which may be the reason." if other else ""
    return Refused(
        f"checkpoint: {directory!r} holds another sweep: {words(differs, by_step)} not what it was there.{upgraded} Give "
        f'another directory, or jopt.Checkpoint(path, on_change="new"), which begins a second one in the same file.'
    )

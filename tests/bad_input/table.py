"""Every public callable of jopt, what is good for its arguments, and what is done with what it returns.

A factory of optimizers or schedules needs no row: its arguments' names, ranges and defaults say what is good. An argument with
a new name and without a default needs a line in ``arguments.GOOD`` or in a row's own ``good``.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.compilation_cache import compilation_cache

import jopt
from jopt.kinds import Drawn
from jopt.values.numbers import Axis
from tests.bad_input import arguments, values
from tests.bad_input.judging import Fault

Use = Callable[[Any, Mapping[str, Any]], None]


@dataclasses.dataclass(frozen=True)
class Row:
    """One callable.

    Attributes:
      name: The text by which it is called; ``{}`` in it stands for what has it.
      function: Whose signature it has.
      use: What is done with what it returns, and with the arguments.
      good: Of its arguments, where their names alone do not say it.
      of: Texts of what has it, where it is a method.
      always: Arguments that are always given.
      words: What an error may call an argument, beside its name.
      weight: How many cases it gets, beside others.
      title: What it is called in tables, where not by ``name``.
    """

    name: str
    function: Callable[..., Any]
    use: Use
    good: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    of: Sequence[str] = ("",)
    always: Sequence[str] = ()
    words: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    weight: float = 1.0
    title: str = ""

    @property
    def parameters(self) -> list[inspect.Parameter]:
        """Of its signature, ``self`` left out."""
        every = list(inspect.signature(self.function).parameters.values())
        return [p for p in every if p.name != "self"]


# What is done with what a call returns


def look(made: Any, given: Mapping[str, Any]) -> None:
    """Prints it."""
    if not isinstance(repr(made), str) or not isinstance(str(made), str):
        raise Fault("no text")


def update(made: Any, given: Mapping[str, Any]) -> None:
    """One step of a transformation: updates like the gradients, a state like the one before, no NaN out of ordinary numbers."""
    look(made, given)
    _ = made.hyperparams
    if any(isinstance(x, Axis) for x in jax.tree.leaves(made)):
        look(jopt.lanes(made), given)
        return
    state = made.init(values.PARAMS)
    extra = {"value": 1.0, "metrics": {"size": 1.0}, "evaluated": True}
    updates, after = made.update(values.GRADS, state, values.PARAMS, **extra)
    before, later = (jax.tree.map(lambda x: (jnp.shape(x), jnp.result_type(x)), s) for s in (state, after))
    if before != later:
        raise Fault(f"the state becomes {later}, but was {before}")
    for name, gradient in values.GRADS.items():
        told = updates[name]
        if told is not None and (jnp.shape(told), jnp.result_type(told)) != (gradient.shape, jnp.result_type(gradient)):
            raise Fault(f"an update of {jnp.shape(told)} {jnp.result_type(told)}")
    if (
        _ordinary(made)
        and not any(map(callable, given.values()))
        and not all(np.isfinite(x).all() for x in jax.tree.leaves(updates) if not isinstance(x, jax.core.Tracer))
    ):
        raise Fault(f"updates that are not finite: {updates}")


def update_of_matrices(made: Any, given: Mapping[str, Any]) -> None:
    """The same of a block that takes matrices only."""
    axes = any(isinstance(x, Axis) for x in jax.tree.leaves(made))
    update(made if axes else jopt.matrixwise(made, jopt.identity()), given)


def _ordinary(made: Any) -> bool:
    """Whether all numbers of a value are of a size that a user would take."""
    sizes = [np.abs(np.asarray(x, np.float64)) for x in jax.tree.leaves(made) if not isinstance(x, jax.core.Tracer)]
    return all(bool(np.all((s == 0) | ((s >= 1e-30) & (s <= 1e6)))) for s in sizes)


def evaluated(made: Any, given: Mapping[str, Any]) -> None:
    """Values of a schedule at some steps: floating scalars."""
    look(made, given)
    if any(isinstance(x, Axis) for x in jax.tree.leaves(made)):
        return
    for count in (0, 3, jnp.array(7)):
        value = made(count)
        if jnp.shape(value) != () and all(jnp.ndim(x) == 0 for x in jax.tree.leaves(made)):
            raise Fault(f"a value of shape {jnp.shape(value)} at {count}")
        if _ordinary(made) and not isinstance(value, jax.core.Tracer) and not np.isfinite(np.asarray(value, np.float64)).all():
            raise Fault(f"{value} at {count}")


def listed(made: Any, given: Mapping[str, Any]) -> None:
    """The values of an axis, against NumPy's, or those that were given."""
    look(made, given)
    if isinstance(made, tuple):
        for axis in made:
            listed(axis, {})
        return
    if not isinstance(made, Axis) or len(set(map(repr, made.values))) != len(made.values):
        raise Fault(f"no axis of values that differ: {made!r}")
    spaced = {"geomspace": np.geomspace, "linspace": np.linspace}.get(given.get("function", ""))
    if spaced is not None and given.get("dtype", float) is float:
        wanted = spaced(float(given["start"]), float(given["stop"]), int(given["num"]))
        if not np.allclose(made.values, wanted, rtol=1e-9, atol=1e-12 * float(np.max(np.abs(wanted)))):
            raise Fault(f"{made.values} for {wanted}")
    if isinstance(made, Drawn):
        drawn = made.at(np.linspace(0.0, 1.0, 5))
        if not (min(drawn) >= made.values[0] and max(drawn) <= made.values[1]):
            raise Fault(f"{drawn} outside of {made.values}")


def swept(made: Any, given: Mapping[str, Any]) -> None:
    """A result: its table, its dataset, its best; plain gradient descent against the same loop in NumPy."""
    look(made, given)
    _ = made.dataset
    for part in getattr(made, "values", lambda: [made])():
        _descended(part, given)


def _descended(part: Any, given: Mapping[str, Any]) -> None:
    """``w ← (1 − 2 a) w`` for the sum of squares, of lanes of ``jopt.sgd`` with constant rates alone."""
    record, plain = (
        part.record,
        all(given.get(name) in (None, (), 1, 0) for name in ("hyper", "record_every", "prune", "search")),
    )
    if (
        given.get("loss") is not values.loss
        or not plain
        or "momentum" in part.description
        or given.get("checkpoint") is not None
    ):
        return
    params = given.get("params")
    if not part.description.startswith("sgd(learning_rate=") or "schedule" in part.description or callable(params):
        return
    if not isinstance(params, dict) or any(np.asarray(x).dtype != np.float32 for x in params.values()):
        return
    squares = sum(float(np.sum(np.square(x))) for x in params.values())
    for index in np.ndindex(record.shape):
        rate = part.optimizer_at(index).hyperparams["learning_rate"]
        if isinstance(rate, dict):
            return
        wanted = squares * (1.0 - 2.0 * float(rate)) ** (2.0 * (record.step - 1))
        got = record.losses["loss"][index]
        if np.all(np.isfinite(wanted)) and not np.allclose(got, wanted, rtol=1e-3, atol=1e-6):
            raise Fault(f"the losses {got} for {wanted} at the rate {rate}")


def ignored(made: Any, given: Mapping[str, Any]) -> None:
    """Nothing is done with it."""


def masks(made: Any, given: Mapping[str, Any]) -> None:
    """Makes a mask of parameters."""
    jopt.freeze(made).init(values.PARAMS)


def uncached(made: Any, given: Mapping[str, Any]) -> None:
    """The cache of compiled programs is as it was before."""
    jax.config.update("jax_compilation_cache_dir", None)
    compilation_cache.reset_cache()
    look(made, given)


def picture(made: Any, given: Mapping[str, Any]) -> None:
    """Draws a picture."""
    for ax in np.ravel(np.asarray(made, object)):
        ax.figure.canvas.draw()


def paged(made: Any, given: Mapping[str, Any]) -> None:
    """A page has been written."""
    if not 10_000 < made.stat().st_size < 5_000_000:
        raise Fault(f"a page of {made.stat().st_size} bytes")
    made.unlink()


def summed(made: Any, given: Mapping[str, Any]) -> None:
    """Parameters and updates, added."""
    trees = given["params"], given["updates"], made
    for p, u, new in zip(*(jax.tree.leaves(tree, is_leaf=lambda x: x is None) for tree in trees), strict=True):
        if p is None or u is None or isinstance(p, jax.core.Tracer) or isinstance(u, jax.core.Tracer):
            continue
        wanted = np.asarray(p, np.complex128) + np.asarray(u, np.complex128)
        if not np.allclose(np.asarray(new, np.complex128), wanted, rtol=1e-2, equal_nan=True):
            raise Fault(f"{new} for {wanted}")


# The rows

SINGLE = tuple(f"result({kind!r})" for kind in ("one", "rates", "grid", "drawn", "zipped", "structure", "undeclared", "pruned"))
SINGLE += tuple(f"result({kind!r})" for kind in ("diverged", "hyper", "by_step"))
GROUPED = tuple(f"result({kind!r})" for kind in ("groups", "mixed", "pruned_groups"))
TRIALS = ("result('rates').best()", "result('groups').best()", "result('grid').top(2)[-1]", "result('by_step').best()")
KNOWN = tuple(f"jopt.{name}" for name in ("Axis", "Numeric", "ScalarOrSchedule"))
# Public to be named in annotations and looked at; jopt makes them, with arguments of its own.
MADE_BY_JOPT = frozenset(
    ("Axis", "Event", "Inspection", "Numeric", "Pruner", "RangeTest", "Rung", "ScalarOrSchedule", "Schedule", "Suggestion")
) | {"SweepResult", "Trial", "GradientTransformation"}
_OPTIONS = {"steps": ("1", "3", "6"), "progress": ("False",), "optimizer": arguments.SWEPT}
_METRIC_WORDS = {"metric": ("metric", "ranks", "score"), "mode": ("mode", "'min'", '"min"'), "at": ("at", "last")}

OWN: dict[str, dict[str, Any]] = {
    "accumulate": {"good": {"every": ("1", "2", "jopt.choice(1, 2)", "(lambda step: 2)")}},
    "apply_if_finite": {"good": {"max_consecutive_errors": ("2", "5")}},
    "apply_updates": {"use": summed},
    "aggmo": {"words": {"betas": ("betas", "damping")}},
    "catalogue": {"use": look},
    "chain": {"good": {"args": arguments.OPTIMIZERS}, "words": {"args": ("part", "chain")}, "use": update},
    "choice": {
        "good": {"values": ("0.1", "0.2", "3", "None", "True", "'a'", "loss", "(1, 2)"), "name": ("'a'", "None")},
        "words": {"values": ("choice", "axis", "Axis")},
    },
    "decades": {"good": {"start": ("1e-5", "1"), "stop": ("0.1", "10", "1e-5"), "name": ("None", "'a'")}},
    "enable_compilation_cache": {"good": {"path": ("fresh('cache')",)}, "always": ("path",), "use": uncached},
    "geomspace": {"good": {"start": ("1e-4", "0.1", "10"), "stop": ("0.2", "1", "np.float32(2)"), "name": ("None", "'a'")}},
    "linspace": {"good": {"start": ("0", "-1.5", "0.1"), "stop": ("0.2", "1", "np.float32(2)"), "name": ("None", "'a'")}},
    "loguniform": {"good": {"low": ("1e-4", "1"), "high": ("0.5", "10"), "name": ("None", "'a'")}},
    "uniform": {"good": {"low": ("-1", "0.1", "1"), "high": ("0.5", "10"), "name": ("None", "'a'")}},
    "zipped": {
        "good": {"axes": ("jopt.choice(0.1, 0.2)", "[0.5, 0.9]", "np.array([1.0, 2.0])", "jopt.linspace(0.1, 0.2, 2)")},
        "words": {"axes": ("zipped", "axis", "Axis")},
    },
    "join_schedules": {"words": {"schedules": ("schedules", "schedule"), "boundaries": ("boundaries", "boundary")}},
    "sgdr_schedule": {"words": {"cosine_kwargs": ("cosine_kwargs", "cycle", "sgdr_schedule")}},
    "evaluation_params": {"use": ignored, "words": {"params": ("params", "axis"), "state": ("state", "axis")}},
    "schedule_free_eval_params": {"use": ignored},
    "matching": {"good": {"patterns": ("'w'", "'*'", "'b*'")}, "words": {"patterns": ("pattern",)}, "use": masks},
    "freeze": {"good": {"mask": ("{'w': True, 'b': False}", "(lambda params: {'w': True, 'b': False})")}},
    "groups": {"words": {"optimizers": ("optimizer", "groups")}},
    "GroupedResult": {"words": {"groups": ("groups", "group", "name", "optimizers")}},
    "identity": {},
    "inspect": {
        "good": {"path": ("saved('rates')", "saved('groups')", "pathlib.Path(saved('one'))")},
        "words": {"path": ("path", "file", "read")},
    },
    "lanes": {
        "good": {"optimizer": arguments.SWEPT[:8]},
        "words": {"optimizer": ("optimizer", "transformation", "axis", "lanes")},
    },
    "leafwise": {
        "good": {"rule": ("(lambda p, **k: (p,))", "(lambda p, **k: (p, p))"), "trees": ("{'p': PARAMS}", "{'p': W}")},
        "words": {"rule": ("rule",), "trees": ("trees", "'p'", "leaf")},
    },
    "learning_rate": {
        "good": {"optimizer": ("jopt.sgd(0.1)", "jopt.adam(0.01)"), "path": ("None", "'adam'", "'learning_rate'")},
        "words": {"state": ("state",), "path": ("path", "learning rate"), "optimizer": ("optimizer", "learning rate")},
    },
    "lift": {"use": ignored},
    "load_result": {"good": {"path": ("saved('rates')", "saved('groups')")}, "words": {"path": ("path", "file", "read")}},
    "lr_range_test": {
        "good": {"params": ("{'w': W}", "init"), "low": ("1e-6", "0.001"), "high": ("1.0", "10"), "steps": ("20", "40")},
        "words": {"params": ("params", "parameters", "leaf"), "loss": ("loss",)},
        "weight": 2.0,
    },
    "normalize_neurons": {"use": update_of_matrices},
    "orthogonalize": {"use": update_of_matrices},
    "scale_by_muon": {"use": update_of_matrices},
    "scale_by_shape": {"use": update_of_matrices},
    "masked": {"good": {"mask": ("{'w': True, 'b': False}", "(lambda params: {'w': True, 'b': False})")}},
    "matrixwise": {"good": {"stacked": ("0",)}},
    "metrics": {"good": {"evaluate": ("evaluate", "evaluate_on"), "data": ("None", "(X, Y)")}},
    "named_chain": {
        "good": {"transforms": ("('a', jopt.sgd(0.1))", "('b', optax.adam(0.1))")},
        "words": {"transforms": ("named_chain", "part", "name")},
        "use": update,
    },
    "partition": {
        "words": {"param_labels": ("label", "pattern"), "transforms": ("the part",)},
        "good": {"transforms": ("{'a': jopt.sgd(0.1), 'b': jopt.adam(0.1)}", "{'w*': jopt.sgd(0.1), 'b': jopt.sgd(0.2)}")},
    },
    "plot_schedule": {"good": {"steps": ("10", "50")}, "use": picture, "always": ("steps",), "weight": 0.5},
    "piecewise_constant_schedule": {"words": {"boundaries_and_scales": ("boundar", "scale")}},
    "schedule": {
        "good": {
            "factory": ("(lambda rate=0.1: (lambda step: rate))",),
            "domain": ("None", "{'rate': '[0, 1)'}"),
            "static": ("()",),
            "name": ("None", "'a'"),
        },
        "use": ignored,
    },
    "transformation": {
        "good": {
            "factory": ("factory",),
            "domain": ("None", "{'rate': '[0, 1)'}"),
            "schedules": ("()", "('rate',)"),
            "evaluates": ("()", "('rate',)"),
            "monitor": ("None",),
            "wide": ("False", "True", "'parts'"),
            "name": ("None", "'a'"),
        },
        "use": ignored,
    },
    "sweep": {
        "good": {**_OPTIONS, "params": ("{'w': W}", "PARAMS", "init", "W")},
        "always": ("steps", "progress"),
        "words": {
            "params": ("params", "parameters", "leaf"),
            "search": ("search",),
            "optimizer": ("optimizer", "transformation", "axis"),
        },
        "use": swept,
        "weight": 9.0,
    },
    "sweep_steps": {
        "good": {**_OPTIONS, "init": ("begin",), "step": ("step",), "optimizer": (*arguments.OPTIMIZERS[:2], *arguments.AXED)},
        "always": ("steps", "progress"),
        "use": swept,
        "weight": 5.0,
    },
    "train": {
        "good": {"params": ("{'w': W}", "PARAMS")},
        "use": ignored,
        "words": {"params": ("params", "parameters", "leaf"), "optimizer": ("optimizer", "axis", "transformation")},
    },
    "zeros_like": {"good": {"dtype": ("None", "jnp.float32", "'bfloat16'")}},
    "Plan": {"good": {"reason": ("''", "'a'")}},
    "Checkpoint": {
        "good": {
            "path": ("'a'", "pathlib.Path('a')"),
            "every": ("'60s'", "1.5", "'5min'"),
            "data": ("None", "'mine'"),
            "on_change": ("'refuse'", "'new'"),
        }
    },
    "OptunaSearch": {"words": {"metric": ("metric",), "mode": ("mode",)}},
    "EarlyStop": {"good": {"min_delta": ("0.0", "0.1")}},
    "Hyperband": {"good": {"factor": ("3", "2.0")}},
    "SuccessiveHalving": {"good": {"factor": ("3", "2.0")}},
    "MedianStop": {"good": {"after": ("0.1", "0.5")}},
    "TopFraction": {"good": {"at": ("0.1", "0.5"), "keep": ("0.25", "1.0")}},
}


# What arguments are called by the part that they are handed to.
ALIASES: dict[str, Sequence[str]] = {
    "matrices": ("mask",),
    "weight_decay_1d": ("weight_decay",),
    "mask": ("mask", "axis"),
    "trust_ratio_mask": ("mask",),
    "path": ("names no number",),
    "checkpoint": ("Checkpoint: path",),
    "start": ("decades",),
    "weight_decay_rate": ("weight_decay",),
    "decay_rate_fn": ("value of a schedule",),
}


def rows() -> list[Row]:
    """All of them: public names first, then methods."""
    return [*_public(), *_methods()]


def _public() -> Iterator[Row]:
    for name in jopt.__all__:
        if name not in MADE_BY_JOPT:
            yield row_of(name, getattr(jopt, name))


def row_of(name: str, function: Callable[..., Any]) -> Row:
    """The row of a public function: its own, or what its place in jopt says is done with what it returns."""
    module, factory = function.__module__, getattr(function, "factory", None)
    use: Use = look
    if module.startswith("jopt.schedules"):
        use = evaluated
    elif factory is not None or module.startswith(("jopt.transforms", "jopt.optimizers")):
        use = update
    elif module == "jopt.axes":
        use = listed
    return Row(f"jopt.{name}", function, **{"use": use, **OWN.get(name, {})})


# Who has public methods and properties: a class, texts of what is of it, and its own rows' differences.
def _owners() -> list[tuple[type, Sequence[str], float]]:
    from jopt.choosing import Catalogue
    from jopt.results.comparison import Comparison
    from jopt.results.plots import GroupPlots, Plots

    plots = tuple(f"{text}.plot" for text in SINGLE)
    return [
        (jopt.SweepResult, SINGLE, 1.0),
        (jopt.GroupedResult, GROUPED, 1.0),
        (jopt.Trial, TRIALS, 0.2),
        (jopt.Suggestion, ("result('rates').suggest()", "result('groups').suggest()"), 0.2),
        (jopt.RangeTest, ("range_test()",), 0.3),
        (jopt.Inspection, ("jopt.inspect(saved('rates'))", "jopt.inspect(saved('groups'))"), 0.2),
        (Catalogue, ("jopt.catalogue()",), 0.1),
        (Comparison, ("result('groups').compare()",), 0.3),
        (Plots, plots, 0.8),
        (GroupPlots, tuple(f"{text}.plot" for text in GROUPED), 0.8),
        (jopt.GradientTransformation, (*arguments.OPTIMIZERS[:2], *arguments.AXED[:2]), 1.5),
        (jopt.Schedule, ("jopt.linear_schedule(0.1, 0.0, 10)", "jopt.join_schedules([lambda s: 0.1] * 2, [5])"), 1.0),
        (jopt.Checkpoint, ("jopt.Checkpoint('a')",), 0.1),
    ]


OWN_METHODS: dict[str, dict[str, Any]] = {
    "GradientTransformation.init": {
        "good": {"params": arguments.TREES},
        "words": {"params": ("leaf", "parameters")},
        "use": ignored,
    },
    "GradientTransformation.update": {"words": {"state": ("state",), "updates": ("updates", "gradient")}, "use": ignored},
    "GradientTransformation.replace": {
        "good": {"changes": ("0.2", "jnp.float32(0.1)", "jopt.choice(0.1, 0.2)")},
        "use": update,
    },
    "Schedule.replace": {"good": {"changes": ("0.2", "jopt.choice(0.1, 0.2)")}, "use": evaluated},
    "SweepResult.report": {"use": paged, "weight": 0.3},
    "GroupedResult.report": {"use": paged, "weight": 0.3},
    "SweepResult.save": {"use": ignored},
    "GroupedResult.save": {"use": ignored},
    "SweepResult.zoom": {"good": {"factor": ("4", "1.5", "np.float32(2.0)")}},
    "GroupedResult.zoom": {"good": {"factor": ("4", "1.5", "np.float32(2.0)")}},
    "SweepResult.concat": {
        "good": {"other": ("result('rates')", "result('one')")},
        "words": {"other": ("concat", "other", "result")},
    },
    "SweepResult.trial": {"good": {"setting": ("{}", "{'learning_rate': 0.1}", "(0,)")}},
    "GroupedResult.trial": {"good": {"setting": ("{}", "{'learning_rate': 0.1}")}, "words": {"setting": ("group",)}},
    "GroupedResult.concat": {
        "good": {"other": ("result('groups')", "result('mixed')")},
        "words": {"other": ("concat", "other")},
    },
    "GroupedResult.compare": {"good": {"against": ("None", "'sgd'", "'plain'")}, "words": {"against": ("group",)}},
    "RangeTest.of": {
        "words": {"losses": ("loss",)},
        "good": {"rates": ("np.geomspace(1e-5, 1, 40)",), "losses": ("np.ones(40)", "np.linspace(1, 0, 40)")},
        "use": look,
    },
}
_WRITES = {"path": ("fresh('file')", "pathlib.Path(fresh('file'))")}
_SAID = {
    **_METRIC_WORDS,
    "x": ("x", "swept", "axis", "axes"),
    "y": ("y", "swept", "axis"),
    "color": ("color", "swept"),
    "ax": ("ax", "axes"),
    "select": ("select", "swept"),
    "path": ("path", "file"),
    "name": ("name", "swept", "suggest"),
    "index": ("index", "setting"),
}


def _methods() -> Iterator[Row]:
    for cls, of, weight in _owners():
        for attribute in (name for name in dir(cls) if not name.startswith("_") and _is_jopts(cls, name)):
            own = inspect.getattr_static(cls, attribute)
            name = f"{cls.__name__}.{attribute}"
            if not (callable(own) or isinstance(own, (staticmethod, classmethod))) and not _is_method(cls, attribute):
                yield Row(f"{{}}.{attribute}", _no_arguments, ignored, of=of, weight=weight, title=name)
                continue
            drawn = cls.__name__ in ("Plots", "GroupPlots") or name == "RangeTest.plot"
            row = {"use": picture if drawn else look, "weight": weight, "words": _SAID, "good": {}, **OWN_METHODS.get(name, {})}
            row["words"] = {**_SAID, **row["words"]}
            row["good"] = {**_WRITES, **row["good"]}
            function = getattr(cls, attribute)
            if cls is jopt.GradientTransformation and attribute in ("init", "update"):
                function = _INIT if attribute == "init" else _UPDATE
            yield Row(f"{{}}.{attribute}", function, of=of, title=name, **row)
    yield Row(
        "{}",
        _call,
        evaluated_at,
        of=("jopt.linear_schedule(0.1, 0.0, 10)", "jopt.step_schedule(0.1, 5)"),
        words={"count": ("step",)},
        title="Schedule()",
    )
    yield Row(
        "{}.__getitem__",
        _getitem,
        look,
        {"name": ("'sgd'", "'plain'")},
        GROUPED,
        words={"name": ("group",)},
        title="GroupedResult[]",
    )
    for operation in ("__add__", "__rmul__", "__lt__", "__pow__", "__truediv__"):
        axes = ("jopt.choice(0.1, 0.2)", "jopt.uniform(0.1, 0.2)", "jopt.choice(None, 0.1)")
        words, title = {"other": ("axis", "uniform")}, f"Axis.{operation}"
        yield Row(f"({{}}).{operation}", _other, ignored, {"other": ("2",)}, axes, words=words, weight=0.2, title=title)


def _is_jopts(cls: type, name: str) -> bool:
    """Whether jopt wrote an attribute: not ``tuple.count``, or ``Mapping.get``; the fields of the pair are ours, too."""
    owner = next(c for c in cls.__mro__ if name in vars(c))
    return owner.__module__.startswith("jopt") or name in ("init", "update")


def _is_method(cls: type, name: str) -> bool:
    return cls is jopt.GradientTransformation and name in ("init", "update")


def _no_arguments() -> None: ...
def _INIT(params: Any) -> None: ...
def _UPDATE(updates: Any, state: Any, params: Any = None) -> None: ...
def _call(count: Any, /) -> None: ...
def _getitem(name: Any, /) -> None: ...
def _other(other: Any, /) -> None: ...


def evaluated_at(made: Any, given: Mapping[str, Any]) -> None:
    """A value of a schedule."""
    jnp.shape(made)

"""What stands for an argument: texts of Python expressions, good ones by the argument's name, and bad ones for all."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

TREES = ("PARAMS", "GRADS", "{'w': W}", "W", "Same(W, 0.5)", "jnp.float32(0.5)", "(W, [W])", "{'w': jnp.ones(2, jnp.bfloat16)}")
OPTIMIZERS = (
    "jopt.sgd(0.1)",
    "jopt.adam(0.01)",
    "optax.sgd(0.1)",
    "jopt.sgd(jopt.linear_schedule(0.1, 0.0, 10), momentum=0.9)",
    "jopt.chain(jopt.clip(1.0), jopt.sgd(0.1))",
    "jopt.lift(optax.lion)(0.01)",
)
AXED = (
    "jopt.sgd(jopt.choice(0.1, 0.2))",
    "jopt.sgd(jopt.geomspace(0.01, 0.1, 3), momentum=jopt.choice(None, 0.9))",
    "jopt.sgd(*jopt.zipped(jopt.choice(0.1, 0.2), jopt.choice(0.5, 0.9)))",
    "jopt.adam(0.01, b1=jopt.choice(0.5, 0.9, name='ünï'))",
    "jopt.sgd(jopt.linear_schedule(jopt.choice(0.1, 0.2), 0.0, 10))",
)
SWEPT = (*OPTIMIZERS[:3], *AXED, "{'a': jopt.sgd(jopt.choice(0.1, 0.2)), 'b': jopt.adam(0.1)}")
RATES = (
    "0.1",
    "np.float32(0.1)",
    "jnp.float32(0.1)",
    "0",
    "jopt.linear_schedule(0.1, 0.0, 10)",
    "optax.linear_schedule(0.1, 0.0, 10)",
    "(lambda step: 0.1 / (1 + step))",
    "{'w': 0.1, 'b': 0.2}",
    "jopt.choice(0.1, 0.2)",
)
SCHEDULES = ("jopt.constant_schedule(0.1)", "optax.linear_schedule(0.1, 0.0, 10)", "(lambda step: 0.1)")
DATA = (
    "None",
    "(X, Y)",
    "{'x': X, 'y': jnp.asarray(Y)}",
    "(tensor(X), Y)",
    "pd.DataFrame({'a': Y, 'b': Y})",
    "(lambda key, step: (X, Y))",
    "[(X, Y), (X, Y)]",
    "Endless()",
    "xr.DataArray(X)",
)
NUMBERS = ("0.5", "1.0", "2", "0.0", "1e-08", "np.float32(0.25)", "jnp.float32(0.25)", "jopt.choice(0.25, 0.5)")
STEPS = ("1", "5", "10", "100", "np.int64(7)", "jopt.choice(5, 9)")
METRIC = ("None", "'loss'", "'size'", "'rate'")
MODE, AT = ("None", "'min'", "'max'"), ("None", "'last'", "'best'")
MASKS = ("None", "True", "{'w': True, 'b': False}", "(lambda params: {'w': True, 'b': False})", "'b'")
NAMES = ("None", "'learning_rate'", "'momentum'", "'b1'", "'hyper.l2'", "'ünï'")

# What is good where an argument has this name, whatever the function is.
GOOD: dict[str, tuple[str, ...]] = {
    "at": AT,
    "ax": ("None", "axes()", "axes(2)"),
    "batch": ("4", "1"),
    "batch_size": ("None", "2", "6", "np.int32(3)", "jopt.choice(2, 3)"),
    "batches": ("(np.ones((4, 6, 3), np.float32), np.ones((4, 6), np.float32))", "{'x': jnp.ones((2, 3))}"),
    "betas": ("(0.0, 0.9)", "[0.5]", "(0.5, jopt.choice(0.8, 0.9))"),
    "boundaries": ("[5]", "[5.0]", "(np.int64(3),)"),
    "boundaries_and_scales": ("None", "{5: 0.1}", "{5: 0.1, 10: 0.5}", "{}"),
    "by_step": ("True", "False"),
    "callbacks": ("()", "callback", "[callback, callback]"),
    "checkpoint": ("None", "fresh('kept')", "jopt.Checkpoint(fresh('kept'), data='mine')", "pathlib.Path(fresh('kept'))"),
    "chunk": ("None", "1", "4"),
    "color": NAMES,
    "columns": ("1", "{'w': 1, 'b': 1}"),
    "confidence": ("0.95", "0.5", "np.float64(0.9)"),
    "cosine_kwargs": ("[{'init_value': 0.0, 'peak_value': 0.1, 'warmup_steps': 2, 'decay_steps': 10}]",),
    "count": ("0", "5", "jnp.array(3)", "np.arange(4)", "1.5"),
    "data": DATA,
    "decay_rate_fn": ("None", "(lambda count, decay: 1.0 - (count + 1.0) ** -decay)"),
    "directory": ("fresh('runs')", "pathlib.Path(fresh('runs'))"),
    "dtype": ("float", "int"),
    "eval_every": ("None", "1", "3", "100"),
    "evaluate": ("evaluate", "accuracy", "jopt.metrics(evaluate)", "jopt.metrics(evaluate_on, data=(X, Y), maximize='error')"),
    "every": ("1", "2", "3"),
    "factory": ("factory", "optax.adam", "optax.lion", "jopt.sgd", "optax.linear_schedule"),
    "first": ("0.1", "0.5"),
    "groups": ("{'a': result('rates')}", "{'a': result('grid'), 'b': result('one')}", "dict(result('groups'))"),
    "hyper": ("None", "{'l2': 0.1}", "0.5", "jopt.choice(0.0, 0.1)", "{'n': 3, 'l2': jopt.choice(0.0, 0.1)}"),
    "index": ("(0,)", "(1,)", "(-1,)", "(0, 1)", "()", "(np.int64(0),)"),
    "keep": ("'params'", "'carry'", "'none'"),
    "key": ("None", "jax.random.key(0)", "jax.random.PRNGKey(0)"),
    "kind": ("'final'", "'curves'"),
    "learning_rate": RATES,
    "like": ("None", "{'w': W}"),
    "base_optimizer": OPTIMIZERS,
    "loss": ("loss", "noisy"),
    "mask": MASKS,
    "maximize": ("()", "'size'", "['size']"),
    "metric": METRIC,
    "mode": MODE,
    "monitor": ("None", "'size'"),
    "n": ("1", "2", "100", "np.int64(3)"),
    "name": NAMES,
    "num": ("1", "2", "5", "np.int64(3)"),
    "once": ("None",),
    "optimizer": OPTIMIZERS,
    "optimizers": ("{'a': jopt.sgd(0.1)}", "{'a': jopt.sgd(jopt.choice(0.1, 0.2)), 'b': optax.adam(0.1)}"),
    "param_labels": ("{'w': 'a', 'b': 'b'}", "(lambda params: {'w': 'a', 'b': 'b'})", "None"),
    "params": TREES,
    "tree": TREES,
    "patience": ("1", "2", "5"),
    "plan": ("'auto'", "jopt.Plan()", "jopt.Plan(width=1, loop='scan')", "jopt.Plan(width=2, chunk=3, loop='host')"),
    "progress": ("None", "False"),
    "prune": ("None", "'auto'", "jopt.TopFraction()", "jopt.EarlyStop(2)", "jopt.MedianStop()"),
    "record": ("()", "'rate'", "('rate', 'grad_norm')", "['param_norm', 'update_norm']"),
    "record_every": ("1", "3", "100"),
    "reduced": ("()", "('p',)"),
    "samples": ("None",),
    "schedule": (*SCHEDULES, "jopt.sgd(jopt.linear_schedule(0.1, 0.0, 10))", "result('rates').best().optimizer"),
    "schedules": ("[jopt.constant_schedule(0.1), optax.linear_schedule(0.1, 0.0, 10)]", "(lambda s: 0.1, lambda s: 0.2)"),
    "search": ("None",),
    "seed": ("0", "1", "np.int64(7)"),
    "seeds": ("1", "2", "[3, 5]", "(0,)", "range(2)", "np.arange(2)"),
    "select": ("None", "{'learning_rate': 0.1}", "{'learning_rate': [0.1, 0.2]}", "{'learning_rate': slice(0.01, 0.2)}"),
    "smooth": ("None", "3", "0.9"),
    "state": ("jopt.sgd(0.1).init(PARAMS)", "jopt.adam(0.01).init(PARAMS)"),
    "static": ("()", "('times',)"),
    "step_size_fn": SCHEDULES,
    "steps": ("1", "3", "5", "np.int64(4)"),
    "study": ("None",),
    "sampler": ("None",),
    "top": ("None", "1", "3", "'all'"),
    "updates": ("GRADS", "PARAMS", "{'w': W}", "W", "{'w': None, 'b': np.ones(3, np.float32)}"),
    "workers": ("None", "1", "2"),
    "width": ("None", "1", "8"),
    "loop": ("None", "'scan'", "'host'"),
    "x": ("None", "'learning_rate'", "'momentum'"),
    "y": ("None", "'learning_rate'", "'momentum'"),
    "inner": OPTIMIZERS,
    "other": OPTIMIZERS,
    "matrix_rule": OPTIMIZERS,
}
for _name in (
    "decay_steps",
    "transition_steps",
    "warmup_steps",
    "stable_steps",
    "transition_begin",
    "step_size_up",
    "step_size_down",
):
    GOOD[_name] = STEPS
for _name in ("weight_decay_mask", "trust_ratio_mask"):
    GOOD[_name] = MASKS
for _name in ("mu_dtype", "accumulator_dtype", "dtype_momentum", "preconditioner_dtype"):
    GOOD[_name] = ("None", "jnp.float32", "'bfloat16'", "np.float32", "jnp.dtype('float32')")

_FLAGS = ("True", "False", "np.True_")

# What is bad where almost anything else is meant; some of it is good somewhere.
ATOMS = (
    *("None", "True", "False", "np.True_", "0", "1", "-1", "-0.0", "0.5", "1.0", "2", "-2.5", "1e-30", "1e30", "1e39", "1e308"),
    *(
        "5e-324",
        "10**400",
        "-10**400",
        "2**31",
        "2**63",
        "-2**63",
        "2**64",
        "float('nan')",
        "float('inf')",
        "-float('inf')",
        "1j",
    ),
    *("complex('nan')", "np.float64(0.5)", "np.float32('nan')", "np.float16(0.5)", "np.int8(-1)", "np.uint64(2**64 - 1)"),
    *("np.longdouble(0.5)", "np.array(0.5)", "np.array(3)", "np.array([])", "np.array([0.1, 0.2])", "np.array([[0.1]])"),
    *("np.array(['a', 'b'])", "np.array(None)", "np.array([0.1, None], object)", "ragged()", "np.datetime64('2026-01-01')"),
    *("np.ma.array([1.0, 2.0], mask=[0, 1])", "np.zeros((0, 3), np.float32)", "np.ones(2)[::-1]", "np.random.default_rng(0)"),
    *(
        "jnp.float32(0.5)",
        "jnp.array(3)",
        "jnp.array([0.1, 0.2])",
        "jnp.array(True)",
        "jnp.bfloat16(0.5)",
        "jnp.array(jnp.nan)",
    ),
    *("jax.random.key(0)", "jax.ShapeDtypeStruct((), jnp.float32)", "deleted()", "tracer", "jnp.float32", "jnp.ones((2, 3))"),
    *("''", "' '", "'a'", "'loss'", "'seed'", "'step'", "'learning_rate'", "'ünï'", "'a/b'", "'0.1'", "'\\ud800'", "'a\\x00b'"),
    *("b'a'", "'x' * 300", "'auto'", "'best'", "'$a_b$'", "'\\n'"),
    *("[]", "()", "{}", "set()", "{0.1}", "range(3)", "range(0)", "iter([0.1])", "(x for x in (0.1, 0.2))", "slice(1, 2)"),
    *("{1: 2}", "{None: 1, 'a': 2}", "{'w': 0.1}", "{'w': 0.1, 'b': None}", "[0.1, 'a']", "[[0.1], [0.2, 0.3]]", "[None]"),
    *("object", "int", "length", "print", "np", "...", "NotImplemented", "decimal.Decimal('0.1')", "fractions.Fraction(1, 3)"),
    *("datetime.timedelta(1)", "pathlib.Path('x')", "Elementwise()", "OwnError", "W", "X", "PARAMS", "Endless()"),
    *(
        "pd.Series([0.1, 0.2])",
        "pd.DataFrame({'a': [1.0]})",
        "pd.NA",
        "xr.DataArray([0.1])",
        "tensor(0.1)",
        "tensor([0.1, 0.2])",
    ),
    *(
        "(lambda: 0.1)",
        "(lambda a: 0.1)",
        "(lambda a, b: 0.1)",
        "(lambda a, b, c, d, e: 0.1)",
        "(lambda *a, **k: None)",
        "raises",
    ),
    *("nothing", "vector", "whole", "imaginary", "not_a_number", "unnamed", "clashing", "concrete", "loss", "with_aux", "init"),
    *(
        "jopt.choice(0.1, 0.2)",
        "jopt.uniform(0.1, 0.2)",
        "jopt.choice(True, False)",
        "jopt.choice(None, 'a')",
        "jopt.choice(2, 3)",
    ),
    *("jopt.sgd", "jopt.sgd(0.1)", "optax.sgd(0.1)", "made_by_optax", "jopt.constant_schedule(0.1)", "jopt.choice('a', 'b')"),
    *("jopt.sgd(jopt.choice(0.1, 0.2))", "jopt.groups({'a': jopt.sgd(0.1)})", "result('one')", "result('rates').best()"),
    *("result('groups')", "result('rates').suggest()", "jopt.Plan()", "jopt.TopFraction()", "jopt.metrics(evaluate)"),
)
WRAPS = ("[{}]", "({},)", "{{'w': {}}}", "{{'w': {}, 'b': {}}}", "[{}, {}]", "np.array([{}], object)", "(lambda *a: {})")
TRACED = re.compile(r"\btracer\b")


def bad() -> st.SearchStrategy[str]:
    """Anything, alone or in a container."""
    atom = st.sampled_from(ATOMS)
    wrapped = st.builds(lambda wrap, a, b: wrap.format(a, b), st.sampled_from(WRAPS), atom, atom)
    return st.one_of(atom, atom, atom, wrapped)


def good(function: Callable[..., Any], name: str, parameter: inspect.Parameter, own: dict[str, Sequence[str]]) -> Sequence[str]:
    """The good texts of one argument: the function's own, those of its name, or what its range and its default say."""
    if name in own:
        return own[name]
    factory = getattr(function, "factory", None)
    if factory is not None and (name in factory.switches and isinstance(parameter.default, bool)):
        return _FLAGS
    if isinstance(parameter.default, bool):
        return ("True", "False")
    if name in GOOD and not (factory is not None and name in factory.domain and name not in ("learning_rate", *_STEPS)):
        return GOOD[name]
    return _of_range(factory, name, parameter)


_STEPS = frozenset(name for name, texts in GOOD.items() if texts is STEPS)


def _of_range(factory: Any, name: str, parameter: inspect.Parameter) -> Sequence[str]:
    default = parameter.default
    told = () if default is parameter.empty else (repr(default),)
    numeric = str(parameter.annotation).startswith(("Numeric", "ScalarOrSchedule"))
    interval = None if factory is None else factory.domain.get(name)
    if interval is not None:
        whole, interval = interval.startswith("whole "), interval.removeprefix("whole ")
        low, high = (float(end) for end in interval[1:-1].split(","))
        inside = [x for x in (low, (low + high) / 2, high) if abs(x) != float("inf")]
        near = [x for x in (0.25, 0.5, 0.999, 1.0, 2.0, 10.0) if low < x < high and (x == int(x) or not whole)]
        ends = [
            x for x, bracket in ((low, interval[0] == "["), (high, interval[-1] == "]")) if bracket and abs(x) != float("inf")
        ]
        numbers = dict.fromkeys([*near, *ends, *(x for x in inside if low < x < high and not whole)])
        axis = f"jopt.choice({', '.join(map(repr, near[:2]))})"
        return (*told, *map(repr, numbers), f"np.float64({near[0]})", f"jnp.float32({near[0]})", axis)
    if numeric:
        return (*told, *NUMBERS)
    if default is None:
        return told
    if isinstance(default, (int, float)):
        return (*told, *NUMBERS)
    return told if isinstance(default, (str, tuple)) else ()

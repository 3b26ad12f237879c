"""Loops that are compiled to one function: what they may consist of, and that they compute what others do."""

import chex
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from jax import lax
from jax.extend.random import threefry_2x32

import jopt
from jopt import Plan
from jopt.engine import analysis, executables, native, runner

pytestmark = pytest.mark.skipif(jax.default_backend() != "cpu", reason="CPUs run a loop as one function")
RATES = jopt.geomspace(1e-4, 1e-1, 5)
START = jnp.array([0.3, -0.4, 0.7])
SCAN = Plan(loop="scan", chunk=7)
MARKED = 'inlineable="false"'  # loops that XLA makes one function of by itself do not have it


def run(loss, start=START, rates=RATES, make=jopt.adam, **options):
    options = {"steps": 25, "progress": False, "plan": SCAN, **options}
    return jopt.sweep(loss, start, make(rates), options.pop("data", None), **options)


def loops():
    return {MARKED in e.compiled.as_text() for k, e in runner.EXECUTABLES.compiled.items() if k[0] == "scan_steps"}


@pytest.fixture
def compiled(monkeypatch):
    """Whether each loop that this test has compiled is one function."""
    monkeypatch.setattr(runner, "EXECUTABLES", runner.Executables())
    monkeypatch.setattr(analysis, "_known", type(analysis._known)())
    return loops


@pytest.fixture
def by_calls(monkeypatch):
    """Runs a sweep as if no step was light."""

    def sweep(*args, **options):
        with monkeypatch.context() as patch:
            patch.setattr(analysis, "is_light", lambda *args: False)
            patch.setattr(analysis, "_known", type(analysis._known)())
            return run(*args, **options)

    return sweep


def same(found, expected):
    chex.assert_trees_all_close(found.dataset.loss.values, expected.dataset.loss.values, rtol=2e-5, atol=1e-6)
    chex.assert_trees_all_close(found.params, expected.params, rtol=2e-5, atol=1e-6)


def number(x):
    return jnp.sum(lax.stop_gradient(x).astype(jnp.float32)) * 0.01


def unary(function):
    return lambda p, batch, key: jnp.sum(function(p)) + jnp.sum(p**2)


def of_whole_numbers(function):
    return lambda p, batch, key: number(function((100 * p).astype(jnp.int32))) + jnp.sum(p**2)


def constant(function):
    return lambda p, batch, key: number(function(lax.stop_gradient(p))) + jnp.sum(p**2)


@jax.custom_vjp
def own_gradient(x):
    return jnp.sin(x)


own_gradient.defvjp(lambda x: (jnp.sin(x), x), lambda x, g: (g * x,))


def lax_named(names, make):
    """A loss for each of some functions of ``jax.lax``."""
    return {name: make(getattr(lax, name)) for name in names.split()}


CONSTANT = jnp.linspace(0, 1, 1000)
NUMBERS = jnp.arange(4, dtype=jnp.uint32)
OPERATIONS = {
    **lax_named("abs ceil floor sign neg exp exp2 expm1 square logistic erf erfc sin cos tan tanh sinh cosh", unary),
    **lax_named("asin acos atan asinh cbrt log1p is_finite", unary),
    **lax_named("sqrt rsqrt log atanh", lambda f: unary(lambda p: f(p**2 + 0.1))),
    **lax_named("add sub mul max min atan2", lambda f: unary(lambda p: f(p, p[::-1]))),
    **lax_named("eq ne lt le gt ge", lambda f: constant(lambda p: f(p, p[::-1]))),
    **lax_named("reduce_sum reduce_max reduce_min reduce_prod", lambda f: constant(lambda p: f(p, (0,)))),
    **lax_named("argmax argmin", lambda f: constant(lambda p: f(p, 0, jnp.int32))),
    **lax_named(
        "shift_left shift_right_arithmetic shift_right_logical rem",
        lambda f: of_whole_numbers(lambda n: f(n, jnp.full_like(n, 2))),
    ),
    "and": of_whole_numbers(lambda n: n & n[::-1]),
    "or": of_whole_numbers(lambda n: n | n[::-1]),
    "xor": of_whole_numbers(lambda n: n ^ n[::-1]),
    "reduce_xor": of_whole_numbers(lambda n: lax.reduce_xor(n, (0,)) % 7),
    "population_count": of_whole_numbers(lax.population_count),
    "reduce_and": constant(lambda p: jnp.all(p > 0)),
    "reduce_or": constant(lambda p: jnp.any(p > 0)),
    "not": constant(lambda p: ~(p > 0)),
    "acosh": unary(lambda p: lax.acosh(p**2 + 1.1)),
    "add_any": unary(lambda p: jnp.sin(p) * jnp.cos(p)),
    "clamp": unary(lambda p: lax.clamp(-0.1, p, 0.1)),
    "convert_element_type": constant(lambda p: p.astype(jnp.int32)),
    "reduce_precision": unary(lambda p: lax.reduce_precision(p, 8, 7)),
    "optimization_barrier": unary(lambda p: lax.optimization_barrier(jnp.sin(p)) ** 2),
    "remat2": unary(jax.checkpoint(lambda p: jnp.sin(jnp.sin(p)))),
    "div": unary(lambda p: p / (p[::-1] + 3)),
    "imag": unary(lambda p: lax.imag(lax.complex(p, p) ** 2)),
    "real": unary(lambda p: lax.real(lax.complex(p, 2 * p) ** 2)),
    "integer_pow": unary(lambda p: p**5),
    "nextafter": constant(lambda p: lax.nextafter(p, p + 1)),
    "pow": unary(lambda p: lax.pow(p**2 + 1, p)),
    "round": unary(lambda p: jnp.round(7 * p)),
    "select_n": unary(lambda p: jnp.where(p > 0, p, 2 * p)),
    "dot_general": unary(lambda p: jnp.arange(6.0).reshape(2, 3) @ p),
    "broadcast_in_dim": unary(lambda p: jnp.broadcast_to(p, (2, 3))),
    "concatenate": unary(lambda p: jnp.concatenate([p, p[:1]])),
    "copy": unary(lambda p: jnp.copy(p)),
    "dynamic_slice": constant(lambda p: lax.dynamic_slice(p, [number(p).astype(jnp.int32)], (2,))),
    "gather": constant(lambda p: p[jnp.array([0, 2, 2])]),
    "iota": unary(lambda p: p * jnp.arange(p.size)),
    "pad": unary(lambda p: jnp.pad(p, 2) ** 2),
    "reshape": unary(lambda p: (p.reshape(3, 1) - p.reshape(1, 3)) ** 4),
    "rev": unary(lambda p: p[::-1] ** 3),
    "slice": unary(lambda p: (p[1:] - p[:-1] ** 2) ** 2),
    "split": unary(lambda p: sum(x**3 for x in jnp.split(p, 3))),
    "squeeze": unary(lambda p: jnp.squeeze(p[None]) ** 3),
    "stop_gradient": constant(lambda p: p),
    "erf_inv": constant(lambda p: lax.erf_inv(p / 2)),
    "bitcast_convert_type": constant(lambda p: lax.bitcast_convert_type(p, jnp.int32) % 7),
    "complex": unary(lambda p: lax.imag(lax.complex(p, p) ** 2)),
    "transpose": unary(lambda p: jnp.outer(p, p).T * jnp.arange(3)),
    **dict.fromkeys(
        ["cond", "empty2"],
        lambda p, batch, key: lax.cond(True, jnp.sum, jnp.prod, p) + lax.switch(1, [jnp.sum, jnp.prod, jnp.max], p**2),
    ),
    "while": constant(lambda p: lax.while_loop(lambda x: jnp.sum(x) < 9, lambda x: x + 1, p)),
    "scan": unary(lambda p: lax.scan(lambda c, x: (c * x + 1, c), 1.0, p)[0]),
    "jit": unary(jax.jit(lambda p: p**3)),
    "custom_jvp_call": constant(jax.nn.relu),
    "custom_vjp_call": constant(own_gradient),
    "random_bits": lambda p, batch, key: jnp.sum((p - jax.random.normal(key, p.shape)) ** 2),
    "random_fold_in": lambda p, batch, key: jnp.sum((p - jax.random.uniform(jax.random.fold_in(key, 3), p.shape)) ** 2),
    "threefry2x32": constant(lambda p: threefry_2x32(NUMBERS[:2], NUMBERS) % 7),
    "random_seed": lambda p, batch, key: jnp.sum((p - jax.random.uniform(jax.random.key(3), p.shape)) ** 2),
    "random_split": lambda p, batch, key: jnp.sum((p - jax.random.uniform(jax.random.split(key)[1], p.shape)) ** 2),
    "random_wrap": constant(lambda p: jax.random.uniform(jax.random.wrap_key_data(jnp.arange(2, dtype=jnp.uint32)), (2,))),
    "random_unwrap": lambda p, batch, key: jnp.sum(p**2) + number(jax.random.key_data(key) % 7),
}


@pytest.mark.parametrize("lanes", [1, 40])
@pytest.mark.parametrize("operation", sorted(native.SUPPORTED))
def test_each_supported_operation_is_compiled_to_one_function_that_computes_the_same(compiled, by_calls, operation, lanes):
    loss = OPERATIONS[operation]
    traced = jax.make_jaxpr(jax.value_and_grad(loss))(START, None, jax.random.key(0))
    assert operation in {e.primitive.name for e in analysis._equations(traced.jaxpr)}
    rates = jopt.geomspace(1e-4, 1e-1, lanes)
    found = run(loss, rates=rates)
    assert compiled() == {True}
    same(found, by_calls(loss, rates=rates))


MATRIX = jnp.linspace(-1, 1, 12).reshape(4, 3)
PRODUCTS = {
    "shared times own": lambda p, batch: jnp.sum((MATRIX.astype(p.dtype) @ p) ** 2),
    "and a sum": lambda p, batch: jnp.sum((MATRIX.astype(p.dtype) @ p + p[0]) ** 2),
    "twice": lambda p, batch: jnp.sum((MATRIX.T @ (MATRIX @ p + p[1])).astype(p.dtype) ** 2),
    "own times own": lambda p, batch: jnp.sum(p @ p[::-1] + p),
    "outer": lambda p, batch: jnp.sum((p[:, None] @ p[None, :]) ** 2),
    "layers": lambda p, batch: jnp.sum(jnp.tanh(jnp.tanh(MATRIX @ (p[:, None] * p)) @ p[:, None]) ** 2),
}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("lanes", "dtype"), [(1, "float32"), (5, "float32"), (150, "float32"), (5, "bfloat16"), (1, "float16")]
)
@pytest.mark.parametrize("product", PRODUCTS)
def test_small_products_of_every_kind_are_part_of_one_function(compiled, by_calls, product, lanes, dtype, workers):
    args = PRODUCTS[product], START.astype(dtype), jopt.geomspace(1e-4, 1e-1, lanes)
    plan = Plan(loop="scan", workers=workers, width=max(1, lanes // workers))
    found = run(*args, plan=plan)
    assert compiled() == {True}
    expected = by_calls(*args, plan=plan)
    loose = 2e-5 if dtype == "float32" else 0.05
    np.testing.assert_allclose(found.dataset.loss, expected.dataset.loss, rtol=loose, atol=loose)


def test_lanes_that_diverge_in_one_function_leave_the_others_alone(compiled, by_calls):
    rates = jopt.choice(1e-3, 1e-2, 1e30)
    found = run(PRODUCTS["and a sum"], rates=rates, make=jopt.sgd)
    assert compiled() == {True}
    losses = found.record.losses["loss"][:, 0]
    assert np.isfinite(losses).all(axis=1).tolist() == [True, True, False]
    same(found, by_calls(PRODUCTS["and a sum"], rates=rates, make=jopt.sgd))


def quadratic(p, batch):
    return jnp.sum((p - 1) ** 2)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_lanes_in_one_function_learn_what_each_learns_alone(data):
    lanes, seeds = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 3))
    shape = data.draw(st.sampled_from([(), (1,), (2,), (2, 3)]))
    make = data.draw(st.sampled_from([jopt.sgd, jopt.adam, jopt.rmsprop, lambda r: jopt.sgd(r, momentum=0.9), optax_chain]))
    steps, chunk, width = (data.draw(st.integers(1, 20)) for _ in range(3))
    rates = np.geomspace(1e-3, 1e-1, lanes).tolist()

    def loss(p, batch, key):
        return jnp.sum((p - 1) ** 2) + 0.1 * jnp.sum(p * jax.random.normal(key, p.shape))

    args, options = (loss, 3 * jnp.ones(shape), jopt.choice(*rates), make), {"steps": steps, "seeds": seeds}
    runner.EXECUTABLES.compiled.clear()
    found = run(*args, plan=Plan(width=width, chunk=chunk, loop="scan"), **options)
    assert loops() == {True}
    same(found, run(*args, plan=Plan(width=1, loop="host"), **options))


def optax_chain(rate):
    return jopt.chain(optax.clip_by_global_norm(1.0), jopt.scale_by_adam(), jopt.scale_by_learning_rate(rate))


class Loader:
    def __iter__(self):
        return iter([(np.float32([i, 1.0]), np.float32([1.0, i])) for i in range(3)])


DATA = (np.linspace(-1, 1, 12, dtype=np.float32), np.linspace(0, 1, 12, dtype=np.float32))


def line(p, batch):
    x, y = batch
    return jnp.mean((p["a"] * x + p["b"] - y) ** 2)


@pytest.mark.parametrize(
    ("data", "options"),
    [
        (DATA, {}),
        (DATA, {"batch_size": 4}),
        (lambda key, step: (x := jax.random.uniform(key, (3,)), x * step), {}),
        (Loader(), {}),
    ],
    ids=["whole", "rows", "function", "iterable"],
)
def test_batches_of_every_kind_reach_one_function(compiled, by_calls, data, options):
    start = {"a": jnp.float32(0.0), "b": jnp.float32(0.5), "unused": jnp.ones(2)}
    found = run(line, start, data=data, seeds=2, **options)
    assert compiled() == {True}
    same(found, by_calls(line, start, data=data, seeds=2, **options))


def test_a_plateau_is_told_of_evaluations_inside_one_function(compiled, by_calls):
    def make(rates):
        return jopt.chain(jopt.sgd(rates), jopt.reduce_on_plateau(factor=0.5, patience=1))

    options = {"evaluate": lambda p: {"error": jnp.sum((p - 1) ** 2)}, "eval_every": 4, "steps": 40}
    found = run(quadratic, make=make, **options)
    assert compiled() == {True}
    same(found, by_calls(quadratic, make=make, **options))


def test_arguments_that_nothing_uses_do_no_harm(compiled):
    def step(optimizer, carry, batch, key):
        return carry, {"loss": jnp.float32(1.0)}

    def init(optimizer, key):
        return {"kept": jnp.arange(3.0), "key": key, "flag": jnp.bool_(True), "complex": jnp.complex64(1j)}

    found = jopt.sweep_steps(init, step, jopt.adam(RATES), data=DATA, steps=9, plan=Plan(loop="scan"), progress=False)
    assert compiled() == {True}
    assert (found.dataset.loss == 1).all()


@pytest.mark.parametrize(
    ("loss", "start"),
    [
        (quadratic, jnp.ones(2000)),
        (lambda p, batch: jnp.sum((jnp.ones((40, 20)) @ p) ** 2), jnp.ones(20)),
        (lambda p, batch: jnp.sum(jnp.sort(p) * jnp.arange(3)), START),
        (lambda p, batch: jnp.mean((p[0] - CONSTANT) ** 2), START),
        (lambda p, batch: jnp.mean(jnp.outer(p, p) ** 2), jnp.ones(40)),
        (lambda p, batch: jnp.sum(p["w"] ** 2), {"w": jnp.ones(2), "none": jnp.zeros((0, 3))}),
        (lambda p, batch: jnp.sum(p**2) + 0 * jnp.mean(jnp.zeros((0,)).sum()), START),
        (lambda p, batch: sum(jnp.sum(jnp.sin(i * p)) for i in range(200)), START),
        (lambda p, batch: jnp.sum(p * jax.random.uniform(jax.random.key(0, impl="rbg"), (3,))), START),
    ],
    ids=["large", "products", "sort", "constant", "intermediate", "empty", "empty inside", "long", "other keys"],
)
def test_steps_that_are_not_light_are_called_operation_by_operation(monkeypatch, compiled, loss, start):
    asked, real = [], analysis.is_light
    monkeypatch.setattr(analysis, "is_light", lambda *args: asked.append(real(*args)) or asked[-1])
    run(loss, start)
    assert not any(asked)
    assert compiled() == {False}


def test_what_xla_can_not_make_one_function_of_is_compiled_the_usual_way_and_once(monkeypatch, compiled, by_calls):
    def loss(p, batch):
        return jnp.sum(p[jnp.array([0, 2, 2])] ** 2)  # its gradient is a scatter

    asked, real = [], executables._compile
    monkeypatch.setattr(executables, "_compile", lambda *args: asked.append(args) or real(*args))
    monkeypatch.setattr(analysis, "is_light", lambda *args: True)
    found = run(loss)
    assert compiled() == {False}
    before = len(asked)
    same(run(loss), found)
    assert len(asked) == before
    same(found, by_calls(loss))


def test_other_versions_of_xla_are_not_told(monkeypatch, compiled):
    monkeypatch.setattr(native, "TESTED", "no version at all")
    run(quadratic)
    assert compiled() == {False}


def test_constants_that_become_arguments_are_not_part_of_one_function(compiled):
    jax.config.update("jax_use_simplified_jaxpr_constants", True)
    try:
        run(lambda p, batch: jnp.sum((p - MATRIX[0]) ** 2))
    finally:
        jax.config.update("jax_use_simplified_jaxpr_constants", False)
    assert compiled() == {False}

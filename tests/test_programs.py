"""Programs are found by what they compute: never an old one for a changed function, never a new one for the same code again."""

import dataclasses
import functools
import subprocess
import sys
import textwrap

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import io_callback

import jopt
from jopt.engine.compiled import executables

X = np.random.default_rng(0).normal(size=(24, 3)).astype(np.float32)
Y = X @ np.float32([1.0, -2.0, 0.5])
LABELS = (Y > 0).astype(np.int32)
SHIFT = 1.0


def sweep(loss, params=None, data=(X, Y), **options):
    params = jnp.zeros(3) if params is None else params
    options = {"steps": 4, "batch_size": 8, "progress": False, **options}
    return jopt.sweep(loss, params, jopt.sgd(jopt.choice(0.1, 0.2)), data, **options)


def first_loss(loss, *args, **options):
    return float(sweep(loss, *args, **options).dataset.loss[0, 0, 0])


@pytest.fixture
def compiled(monkeypatch):
    """The names of the functions that were compiled."""
    names, real = [], executables._compile
    lowered = executables.Wanted.lowered

    def named(wanted):
        names.append(wanted.function.__name__)
        return lowered(wanted)

    monkeypatch.setattr(executables.Wanted, "lowered", named)
    monkeypatch.setattr(executables, "_compile", real)
    return names


def constant(value):
    return lambda w, batch: jnp.sum(w) * 0 + value


def test_a_reassigned_global_is_seen(monkeypatch):
    def loss(w, batch):
        return jnp.sum(w) * 0 + SHIFT

    assert first_loss(loss) == 1
    monkeypatch.setattr(sys.modules[__name__], "SHIFT", 5.0)
    assert first_loss(loss) == 5


def test_a_closed_over_array_changed_in_place_is_seen():
    for shift in (np.ones(3, np.float32), {"inside": np.ones(3, np.float32)}):
        array = shift["inside"] if isinstance(shift, dict) else shift

        def loss(w, batch, array=array):
            return jnp.sum(w) * 0 + array.sum() * 0 + jnp.asarray(array)[0]

        assert first_loss(loss) == 1
        array[:] = 7
        assert first_loss(loss) == 7


def test_an_attribute_of_a_callable_object_is_seen():
    class Loss:
        scale = 1.0

        def __call__(self, w, batch):
            return jnp.sum(w) * 0 + self.scale

    loss = Loss()
    assert first_loss(loss) == 1
    loss.scale = 3.0
    assert first_loss(loss) == 3


def test_an_attribute_behind_a_bound_method_is_seen():
    class Trainer:
        l2 = 1.0

        def loss(self, w, batch):
            return jnp.sum(w) * 0 + self.l2

    trainer = Trainer()
    assert first_loss(trainer.loss) == 1
    trainer.l2 = 4.0
    assert first_loss(trainer.loss) == 4


def test_globals_and_arrays_that_evaluate_reads_are_seen():
    threshold = {"value": 1.0, "array": np.float32([1.0, 2.0])}

    def evaluate(w):
        return {"number": jnp.sum(w) * 0 + threshold["value"], "array": jnp.asarray(threshold["array"])[1]}

    first = sweep(constant(1.0), evaluate=evaluate).dataset
    threshold["value"], threshold["array"][1] = 9.0, 6.0
    second = sweep(constant(1.0), evaluate=evaluate).dataset
    assert [float(d.number[0, 0, -1]) for d in (first, second)] == [1, 9]
    assert [float(d.array[0, 0, -1]) for d in (first, second)] == [2, 6]


def test_what_init_closes_over_is_seen():
    start = {"value": 1.0, "array": np.float32([1.0, 2.0, 3.0])}

    def init(key):
        return jnp.asarray(start["array"]) + start["value"]

    def loss(w, batch):
        return jnp.sum(w)

    assert first_loss(loss, init) == 9
    start["value"] = 2.0
    assert first_loss(loss, init) == 12
    start["array"][:] = 0
    assert first_loss(loss, init) == 6


def test_what_a_batch_function_closes_over_is_seen():
    table = np.float32([1.0, 1.0])

    def batch(key, step):
        return jnp.asarray(table)[step % 2]

    def loss(w, x):
        return jnp.sum(w) * 0 + x

    assert first_loss(loss, data=batch, batch_size=None) == 1
    table[:] = 8
    assert first_loss(loss, data=batch, batch_size=None) == 8


def test_a_jitted_part_that_closes_over_an_array_gets_the_array_of_now(compiled):
    def make(array):
        inner = jax.jit(lambda w: jnp.sum(w) * 0 + jnp.take(array, 0))
        return lambda w, batch: inner(w)

    assert first_loss(make(jnp.float32([1.0, 2.0]))) == 1
    compiled.clear()
    assert first_loss(make(jnp.float32([5.0, 2.0]))) == 5
    assert first_loss(make(np.float32([6.0, 2.0]))) == 6
    assert compiled == []


NESTED = {
    "jit": lambda f, x: f(x),
    "jit in jit": lambda f, x: jax.jit(lambda x: f(x) + f(x))(x),
    "scan": lambda f, x: jax.lax.scan(lambda c, row: (f(c) + row, f(c)), x, jnp.ones((3, 3)))[0],
    "scan over rows": lambda f, x: jax.lax.scan(lambda c, row: (c, f(row)), x, jnp.ones((3, 3)), reverse=True)[1].sum(0),
    "fori_loop": lambda f, x: jax.lax.fori_loop(0, 3, lambda i, c: f(c) * 0.5, x),
    "while": lambda f, x: jax.lax.while_loop(lambda c: f(c).sum() < 1e-3, lambda c: f(c) + 1, x),
    "cond": lambda f, x: jax.lax.cond(x.sum() > 0, lambda x: f(x) * 2, lambda x: f(x), x),
    "switch": lambda f, x: jax.lax.switch(1, [lambda x: x, f, lambda x: -x], x),
    "checkpoint": lambda f, x: jax.checkpoint(lambda x: jnp.sin(f(x)))(x),
    "vmap": lambda f, x: jax.vmap(f)(jnp.stack([x, 2 * x])).sum(0),
    "custom_jvp": lambda f, x: _custom_jvp(f)(x),
    "custom_vjp": lambda f, x: _custom_vjp(f)(x),
    "map": lambda f, x: jax.lax.map(f, jnp.stack([x, 2 * x])).sum(0),
}


def _custom_jvp(f):
    rule = jax.custom_jvp(lambda x: f(x))
    rule.defjvp(lambda primals, tangents: (f(*primals), 3.0 * f(*tangents)))
    return rule


def _custom_vjp(f):
    rule = jax.custom_vjp(lambda x: f(x))
    rule.defvjp(lambda x: (f(x), x), lambda x, g: (2.0 * f(g) + x,))
    return rule


@pytest.mark.parametrize("kind", NESTED)
def test_an_array_nested_anywhere_is_an_argument_and_the_result_is_that_of_jax(kind, compiled):
    def make(array):
        inner = jax.jit(lambda x: x * array + 0.1)

        def loss(w, batch):
            return jnp.sum(NESTED[kind](inner, w) ** 2)

        return loss

    start = jnp.float32([0.3, -0.2, 0.1])
    for i, array in enumerate([jnp.float32([1.0, 2.0, 3.0]), jnp.float32([0.5, -1.0, 2.0])]):
        options = {"data": None, "batch_size": None}
        if kind == "while":  # has no gradient in reverse mode
            step = functools.partial(_measured, make(array))
            result = jopt.sweep_steps(lambda opt, key: start, step, jopt.sgd(jopt.choice(0.1, 0.2)), steps=2, progress=False)
            expected = [make(array)(start, None)]
        else:
            result = sweep(make(array), start, steps=2, **options)
            slope = jax.grad(make(array))(start, None)
            expected = [make(array)(start, None), make(array)(start - 0.1 * slope, None)]
        np.testing.assert_allclose(result.dataset.loss[0, 0, : len(expected)], expected, rtol=1e-5)
        assert compiled if i == 0 else not compiled
        compiled.clear()


def _measured(loss, optimizer, carry, batch, key):
    return carry, {"loss": loss(carry, batch)}


def relu_net(w, batch):
    x, y = batch
    return jnp.mean((jax.nn.relu(x @ w) - y) ** 2)


def cross_entropy(w, batch):
    x, labels = batch
    logits = jnp.stack([x @ w, -(x @ w)], -1)
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1))


def checkpointed(w, batch):
    x, y = batch
    return jnp.mean((jax.checkpoint(lambda w: jnp.tanh(x @ w))(w) - y) ** 2)


def with_custom_vjp(w, batch):
    x, y = batch
    return jnp.mean(_straight_through(x @ w) * y)


@jax.custom_vjp
def _straight_through(x):
    return jnp.sign(x)


_straight_through.defvjp(lambda x: (jnp.sign(x), None), lambda _, g: (g,))

SOURCE = """
@jax.custom_vjp
def straight(x):
    return jnp.sign(x)

straight.defvjp(lambda x: (jnp.sign(x), None), lambda _, g: (g,))

@jax.jit
def layer(w, x):
    return jax.nn.relu(x @ w)

def loss(w, batch):
    x, y = batch
    hidden = jax.checkpoint(lambda w: layer(w, x))(w)
    return jnp.mean((straight(hidden) - y) ** 2 + jax.nn.softplus(hidden) * TABLE[0])

def evaluate(w):
    return {"norm": jnp.linalg.norm(w), "table": TABLE[1]}

def init(key):
    return jax.random.normal(key, (3,)) * TABLE[2]

def batch(key, step):
    rows = jax.random.randint(key, (4,), 0, 24)
    return X[rows], Y[rows]
"""


def cell(table=(1.0, 2.0, 3.0)):
    """The functions of a notebook's cell, defined anew at each call."""
    names = {"jax": jax, "jnp": jnp, "X": jnp.asarray(X), "Y": jnp.asarray(Y), "TABLE": jnp.float32(table)}
    exec(textwrap.dedent(SOURCE), names)
    return names


def test_a_notebook_cell_that_is_run_again_compiles_nothing(compiled):
    for i in range(3):
        names = cell((1.0, 2.0, 3.0 + i))
        result = sweep(names["loss"], names["init"], names["batch"], batch_size=None, evaluate=names["evaluate"])
        assert bool(compiled) is (i == 0), compiled
        assert result.timings.compile_s == 0 or i == 0
        compiled.clear()


@pytest.mark.parametrize(
    ("loss", "data"),
    [(relu_net, (X, Y)), (cross_entropy, (X, LABELS)), (checkpointed, (X, Y)), (with_custom_vjp, (X, Y))],
    ids=["relu", "integer labels", "checkpoint", "custom_vjp"],
)
def test_the_same_loss_around_itself_compiles_nothing_and_another_one_does(loss, data, compiled):
    sweep(loss, data=data)
    compiled.clear()
    again = sweep(lambda w, batch: loss(w, batch), data=data)
    assert compiled == []
    other = sweep(lambda w, batch: 2.0 * loss(w, batch), data=data)
    assert "scan_steps" in compiled
    np.testing.assert_allclose(other.dataset.loss[..., 0], 2 * again.dataset.loss[..., 0], rtol=1e-6)


def test_another_evaluate_compiles_the_evaluation_only(compiled):
    def loss(w, batch):
        return relu_net(w, batch) + 0.25

    first = sweep(loss, evaluate=lambda w: {"a": jnp.sum(w)})
    compiled.clear()
    second = sweep(loss, evaluate=lambda w: {"a": 2 * jnp.sum(w)})
    assert compiled == ["evaluate"]
    np.testing.assert_allclose(second.dataset.a, 2 * first.dataset.a, rtol=1e-6)


def test_the_second_fold_of_a_cross_validation_compiles_nothing(compiled):
    folds = np.arange(24) % 4
    for fold in range(4):
        train, held_out = folds != fold, folds == fold
        x, y = X[held_out], Y[held_out]
        result = sweep(
            lambda w, batch: relu_net(w, batch) + 0.125,
            data=(X[train], Y[train]),
            evaluate=lambda w, x=x, y=y: {"error": jnp.mean((x @ w - y) ** 2)},
        )
        weights = result.params[0, 0]
        np.testing.assert_allclose(result.dataset.error[0, 0, -1], np.mean((x @ weights - y) ** 2), rtol=1e-4)
        assert bool(compiled) is (fold == 0)
        compiled.clear()


def test_numbers_written_in_the_code_are_part_of_it():
    # Negative zero, NaN and numbers that print alike are programs of their own.
    values = [0.0, -0.0, np.nan, 1.0, np.nextafter(np.float32(1), np.float32(2))]
    for value in values:
        found = sweep(lambda w, batch, v=value: jnp.sum(w) * 0 + 1, evaluate=lambda w, v=value: {"m": jnp.sum(w) * 0 + v})
        assert np.array_equal(np.float32(found.dataset.m[0, 0, -1]), np.float32(value), equal_nan=True)
    signs = [float(np.copysign(1, first_loss(lambda w, b, v=v: v * jnp.abs(jnp.sum(w) * 0 + 1) * 0))) for v in (1.0, -1.0)]
    assert signs == [1.0, -1.0]


@pytest.mark.parametrize("call", [jax.pure_callback, io_callback])
def test_a_loss_may_call_back_for_a_number(call):
    shape = jax.ShapeDtypeStruct((), jnp.float32)

    def make(factor):
        def loss(w, _):
            how = {"vmap_method": "sequential"} if call is jax.pure_callback else {}
            return jnp.sum(w**2) + call(lambda x: np.float32(factor * x), shape, jax.lax.stop_gradient(w[0]), **how)

        return loss

    for factor in (1.0, 3.0):
        found = jopt.sweep(make(factor), jnp.ones(2), jopt.sgd(0.0), steps=2, progress=False)
        np.testing.assert_allclose(found.record.losses["loss"].ravel(), 2.0 + factor)


def test_two_callbacks_are_two_programs_and_each_is_called():
    calls = {"one": 0, "two": 0}

    def counting(name):
        def count(x):
            calls[name] += 1

        return count

    def make(callback):
        def loss(w, batch):
            jax.debug.callback(callback, w[0])
            return relu_net(w, batch)

        return loss

    one, two = counting("one"), counting("two")
    for callback in (one, two, two):
        sweep(make(callback), steps=3)
        jax.effects_barrier()
    assert calls == {"one": 6, "two": 12}  # steps times lanes


@dataclasses.dataclass
class DataclassLoss:
    """Has no hash, as dataclasses have none."""

    scale: float

    def __call__(self, w, batch):
        return self.scale * jnp.mean((batch[0] @ w - batch[1]) ** 2)


class ModuleLoss(eqx.Module):
    scale: jax.Array

    def __call__(self, w, batch):
        return self.scale * jnp.mean((batch[0] @ w - batch[1]) ** 2)


@pytest.mark.parametrize("make", [DataclassLoss, lambda scale: ModuleLoss(jnp.float32(scale))], ids=["dataclass", "equinox"])
def test_a_loss_need_not_hash(make):
    start = first_loss(make(1.0), jnp.ones(3))
    np.testing.assert_allclose(first_loss(make(3.0), jnp.ones(3)), 3 * start, rtol=1e-6)


def test_an_equinox_module_defined_again_compiles_nothing(compiled):
    for i in range(2):

        class Net(eqx.Module):
            w: jax.Array
            activation: object = eqx.field(static=True)

            def __call__(self, x):
                return self.activation(x @ self.w)

        result = sweep(
            lambda net, batch: jnp.mean((net(batch[0]) - batch[1]) ** 2), Net(jnp.ones(3), lambda x: jnp.tanh(x) + 0.5)
        )
        assert isinstance(result.best().params, Net)
        assert bool(compiled) is (i == 0)
        compiled.clear()


def test_a_stricter_context_is_obeyed_by_the_second_sweep():
    def promoting(w, batch):
        return jnp.sum(batch[0] * w)

    sweep(promoting)
    with jax.numpy_rank_promotion("raise"), pytest.raises(ValueError, match="rank_promotion"):
        sweep(promoting)


def test_matmul_precision_is_part_of_the_program(compiled):
    def loss(w, batch):
        return jnp.mean((batch[0] @ w - batch[1]) ** 2) + 0.5

    sweep(loss)
    compiled.clear()
    with jax.default_matmul_precision("float32"):
        sweep(loss)
    assert "scan_steps" in compiled


def test_another_default_kind_of_keys_changes_nothing_as_jopts_own_are_threefry():
    def loss(w, batch, key):
        return jnp.mean((batch[0] @ w - batch[1] + jax.random.normal(key, (8,))) ** 2)

    def run(width):
        plan = jopt.Plan(width=width, loop="scan")
        return sweep(loss, lambda key: jax.random.normal(key, (3,)), plan=plan, seeds=2).dataset.loss.values

    expected = run(2)
    before = jax.config.jax_default_prng_impl
    jax.config.update("jax_default_prng_impl", "rbg")
    try:
        for width in (1, 2, 4):
            np.testing.assert_allclose(run(width), expected, rtol=1e-5)
    finally:
        jax.config.update("jax_default_prng_impl", before)


def test_keys_that_the_user_makes_inside_are_of_the_kind_of_now():
    def loss(w, batch):
        return jnp.sum(w) * 0 + jax.random.uniform(jax.random.key(0))

    first = first_loss(loss)
    before = jax.config.jax_default_prng_impl
    jax.config.update("jax_default_prng_impl", "rbg")
    try:
        second, expected = first_loss(loss), float(jax.random.uniform(jax.random.key(0)))
    finally:
        jax.config.update("jax_default_prng_impl", before)
    np.testing.assert_allclose(second, expected, rtol=1e-6)
    assert first != second


def test_sixty_four_bits_as_a_context_of_the_caller_hold_in_the_workers():
    def loss(w, batch):
        return jnp.mean((jnp.asarray(X, jnp.float64) @ w - 1.0) ** 2)

    with jax.enable_x64(True):
        result = jopt.sweep(
            loss,
            jnp.zeros(3, jnp.float64),
            jopt.sgd(jopt.choice(0.1, 0.2, 0.3, 0.4)),
            steps=3,
            plan=jopt.Plan(width=1, loop="scan", workers=2),
            progress=False,
        )
    assert result.params.dtype == np.float64
    assert result.dataset.loss.dtype == np.float64


MEMORY = """
import gc
import jax.numpy as jnp, numpy as np
import jopt

def rss():
    with open("/proc/self/status") as file:
        return int(next(line for line in file if line.startswith("VmRSS")).split()[1]) / 1024

def one(i):
    big = np.full(2**21, float(i), np.float32)
    jopt.sweep(lambda w, _: jnp.sum(w**2) + big[0] * 0 + jnp.asarray(big).mean() * 0, jnp.ones(3),
               jopt.sgd(jopt.choice(0.1, 0.2)), steps=2, progress=False,
               evaluate=lambda w: {"m": jnp.asarray(big).sum() * 0 + w[0]})

for i in range(8):
    one(i)
gc.collect()
before = rss()
for i in range(60):
    one(i)
print(rss() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the process's memory from /proc")
def test_sixty_sweeps_of_new_lambdas_over_8_mb_each_keep_nothing_alive():
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 160, done.stdout  # of 480 that pass through


def test_locks_of_compilations_are_forgotten():
    from jopt.engine.running.runtime import EXECUTABLES

    sweep(constant(17.0))
    assert EXECUTABLES.pending == {}

"""What users of jopt write, for type checkers: ``tests/test_typing.py`` gives it to mypy, nobody runs it."""

from __future__ import annotations

from typing import assert_type

import jax
import jax.numpy as jnp
import numpy as np
import optax  # type: ignore[import-untyped]

import jopt


def loss(w: jax.Array, batch: tuple[jax.Array, jax.Array]) -> jax.Array:
    x, y = batch
    return jnp.mean((x @ w - y) ** 2)


def noisy(w: jax.Array, batch: jax.Array, key: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
    return ((w - batch) ** 2).sum(), {"norm": jnp.abs(w).sum()}


x = np.ones((8, 2), np.float32)
y = np.ones(8, np.float32)
w = jnp.zeros(2)

# One optimizer, several by name, groups, and Optax's own.
rates = jopt.geomspace(1e-3, 1.0, 4)
assert_type(jopt.sweep(loss, w, jopt.adam(rates), (x, y), steps=3), jopt.SweepResult)
assert_type(jopt.sweep(loss, w, jopt.chain(jopt.clip(1.0), jopt.sgd(rates)), (x, y), steps=3), jopt.SweepResult)
optimizers = {"momentum": jopt.momentum(rates), "adam": jopt.adam(rates)}
result = jopt.sweep(loss, w, optimizers, (x, y), steps=3, batch_size=4)
assert_type(result, jopt.GroupedResult)
print(result.table(), result.best().group, result["adam"].best().setting)
assert_type(result["adam"], jopt.SweepResult)
assert_type(result.best(), jopt.Trial)
assert_type(list(result.values()), list[jopt.SweepResult])
assert_type(jopt.sweep(loss, w, jopt.groups(optimizers), (x, y), steps=3), jopt.GroupedResult)
first = jopt.sweep(loss, w, jopt.adam(rates), (x, y), steps=3, keep="carry")
longer = jopt.sweep(loss, first.best(), first.best().optimizer, (x, y), steps=2)
assert_type(first.concat(longer), jopt.SweepResult)
assert_type(result.concat(result), jopt.GroupedResult)


# Numbers that are not the optimizer's, and structure.
def ridge(w: jax.Array, batch: tuple[jax.Array, jax.Array], hyper: dict[str, jax.Array]) -> jax.Array:
    return loss(w, batch) + hyper["l2"] * (w**2).sum()


penalised = jopt.sweep(
    ridge, w, jopt.sgd(rates, jopt.choice(None, 0.9)), (x, y), steps=3, batch_size=jopt.choice(2, 4), hyper={"l2": rates}
)
assert_type(penalised, jopt.SweepResult)
drawn = jopt.adam(jopt.loguniform(1e-3, 1.0), b1=jopt.uniform(0.1, 0.9))
searched = jopt.sweep(loss, w, drawn, (x, y), steps=3, samples=4, search=jopt.OptunaSearch(batch=2))
assert_type(searched, jopt.SweepResult)
print(searched.to_optuna().best_params, jopt.uniform(1, 8, dtype=int))
print(penalised.best().hyper["l2"], penalised.best().setting["batch_size"])


# A step of one's own.
def init(opt: jopt.GradientTransformation, key: jax.Array) -> tuple[jax.Array, object]:
    return w, opt.init(w)


def step(opt: jopt.GradientTransformation, carry: tuple[jax.Array, object], batch: object, key: jax.Array) -> object:
    return carry, {"loss": jnp.float32(0.0)}


assert_type(jopt.sweep_steps(init, step, jopt.sgd(rates), steps=3), jopt.SweepResult)
assert_type(jopt.sweep_steps(first.best(), step, jopt.sgd(rates), steps=3, keep="best"), jopt.SweepResult)
assert_type(jopt.sweep_steps(init, step, {"a": jopt.sgd(rates), "b": jopt.sgd(0.1)}, steps=3), jopt.SweepResult)
assert_type(jopt.sweep_steps(init, step, (jopt.sgd(rates), jopt.sgd(0.1)), steps=3), jopt.SweepResult)
compared = jopt.sweep_steps(init, step, jopt.groups({"a": jopt.sgd(rates)}), steps=3)
assert_type(compared, jopt.GroupedResult)

# Saved and loaded: which of the two it is, the file knows.
loaded = jopt.load_result("a.jopt")
assert_type(loaded, jopt.SweepResult | jopt.GroupedResult)
print(loaded.best().hyperparams, loaded.table(), loaded.timings.total_s)
if isinstance(loaded, jopt.GroupedResult):
    print(loaded["adam"].best())

# Without the engine.
batches = (jnp.ones((3, 8, 2)), jnp.ones((3, 8)))
params, state, losses = jopt.train(loss, w, jopt.adam(0.1), batches)
assert_type(losses, jax.Array)
recorded = jopt.train(noisy, w, jopt.adam(0.1), jnp.ones((3, 2)), key=jax.random.key(0), has_aux=True)[2]
assert_type(recorded, dict[str, jax.Array])


# A rule and a helper of one's own.
@jopt.transformation
def halved(learning_rate: jopt.ScalarOrSchedule) -> jopt.GradientTransformation:
    return jopt.chain(jopt.scale(0.5), jopt.sgd(learning_rate))


def values_of(axis: jopt.Axis, least: jopt.Numeric) -> tuple[float, ...]:
    return axis.values


assert_type(halved(0.1), jopt.GradientTransformation)
lion = jopt.lift(optax.lion)
assert_type(jopt.sweep(loss, w, {"lion": lion(rates, b1=jopt.choice(0.9, 0.95))}, (x, y), steps=3), jopt.GroupedResult)
print(values_of(rates, 0.1), jopt.schedules.as_time(3))

# What a checker must find, else it complains of the comment.
print(jopt.sweeep)  # type: ignore[attr-defined]
jopt.sweep(loss, w, 0.1, (x, y), steps=3)  # type: ignore[call-overload]
jopt.sweep(loss, w, jopt.adam(0.1), (x, y), steps=3)["adam"]  # type: ignore[index]
jopt.sweep(loss, w, jopt.adam(0.1), (x, y), steps=3, keep="all")  # type: ignore[call-overload]
jopt.sweep(loss, w, jopt.adam(0.1), (x, y), steps=3, batchsize=3)  # type: ignore[call-overload]
print(result.optimizer_at)  # type: ignore[attr-defined]

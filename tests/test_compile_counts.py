"""How often functions of a value are compiled: once per structure, whatever the numbers."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jopt

PARAMS = {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}
OPTIMIZERS = {
    "sgd": jopt.sgd(0.1, momentum=0.9),
    "momentum": jopt.momentum(0.1),
    "rmsprop": jopt.rmsprop(0.1, momentum=0.9),
    "adamw": jopt.adamw(0.1),
    "scheduled": jopt.adam(jopt.warmup_cosine_decay_schedule(0.0, 0.1, 5, 50)),
    "chain": jopt.chain(jopt.clip_by_global_norm(1.0), jopt.adam(0.1)),
    "lifted": jopt.lift(optax.lion)(0.1),
}
PATHS = [(name, path) for name, opt in OPTIMIZERS.items() for path in opt.bound.spec.paths]


@dataclasses.dataclass
class Counted:
    """A jitted step of an optimizer, and how often it was traced."""

    traces: int = 0

    def __post_init__(self):
        self.step = jax.jit(self._step)
        self.step_static = jax.jit(self._step, static_argnums=0)

    def _step(self, opt, state, params):
        self.traces += 1
        return opt.update(params, state, params)


@pytest.mark.parametrize(("name", "path"), PATHS, ids=[".".join(p) for p in PATHS])
def test_a_thousand_values_of_any_number_compile_once(name, path):
    opt, counted = OPTIMIZERS[name], Counted()
    state = opt.init(PARAMS)
    for x in np.linspace(0.01, 0.99, 1000):
        counted.step(opt.replace(**{path: float(x)}), state, PARAMS)
    assert counted.traces == 1


def test_python_and_numpy_numbers_share_one_program():
    counted = Counted()
    for rate in (0.1, np.float64(0.2), np.float32(0.3), 1):
        opt = jopt.adam(rate)
        counted.step(opt, opt.init(PARAMS), PARAMS)
    assert counted.traces == 1


def test_another_structure_compiles_once_more():
    counted = Counted()
    for opt in (jopt.adam(0.1), jopt.adam(0.1, nesterov=True), jopt.adam(0.2), jopt.adam(0.2, nesterov=True)):
        counted.step(opt, opt.init(PARAMS), PARAMS)
    assert counted.traces == 2


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_rebuilt_equal_value_in_a_static_slot_compiles_once(name):
    counted = Counted()
    for _ in range(3):
        opt = jax.tree.map(lambda x: x, OPTIMIZERS[name])
        assert opt is not OPTIMIZERS[name]
        counted.step_static(opt, opt.init(PARAMS), PARAMS)
    assert counted.traces == 1


def test_another_number_in_a_static_slot_compiles_again():
    counted = Counted()
    for rate in (0.1, 0.2, 0.1):
        opt = jopt.sgd(rate)
        counted.step_static(opt, opt.init(PARAMS), PARAMS)
    assert counted.traces == 2


def test_the_state_that_comes_out_compiles_nothing_when_it_goes_in():
    for opt in OPTIMIZERS.values():
        counted, state = Counted(), opt.init(PARAMS)
        for _ in range(3):
            _, state = counted.step(opt, state, PARAMS)
        assert counted.traces == 1

"""The values that Keras's own tests expect, for the optimizers whose rule is jopt's.

Keras adds its ε to √v before the bias correction ("epsilon hat"), so jopt's ε is ε / √(1 − β₂ᵗ): a schedule. Left out:
AMSGrad, and Nadam, whose β₁ Keras schedules; the other rules are not here.
"""

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import jopt
from tests.cases import extras, run

GOLDEN = {case["case"]: case for case in json.loads((Path(__file__).parent / "data" / "keras_golden.json").read_text())}


@jopt.schedule
def epsilon_hat(eps, b2):
    """Keras's ε, as this library counts it: t is the number of updates made before."""
    return lambda t: eps / jnp.sqrt(1.0 - b2 ** (jopt.schedules.as_time(t) + 1.0))


ADAM = {"eps": epsilon_hat(1e-7, 0.999)}
OPTIMIZERS = [
    ("sgd.test_single_step", jopt.sgd(0.5)),
    ("sgd.test_single_step", jopt.momentum(0.5, momentum=0.0)),
    # Keras's default momentum is 0.
    ("sgd.test_correctness_with_golden", jopt.momentum(0.01, momentum=0.0, nesterov=True)),
    ("rmsprop.test_single_step", jopt.rmsprop(0.5, eps=1e-7)),
    ("rmsprop.test_correctness_with_golden", jopt.rmsprop(1e-3, eps=1e-7, centered=True)),
    ("adam.test_single_step", jopt.adam(0.5, **ADAM)),
    ("adamw.test_single_step", jopt.adamw(0.5, weight_decay=4e-3, **ADAM)),
    (
        "adamw.test_correctness_with_golden",
        jopt.adamw(1.0, weight_decay=0.5, eps=epsilon_hat(2.0, 0.999)),
    ),
]


@pytest.mark.parametrize(("name", "opt"), OPTIMIZERS, ids=[f"{n}-{o}" for n, o in OPTIMIZERS])
def test_the_parameters_are_those_of_keras_to_its_four_digits(name, opt):
    case = GOLDEN[name]
    params = np.asarray(case["initial"], np.float32)
    if "grads" in case:
        grads, expected = [case["grads"]], [case["expected"]]
    else:
        grads = [case["grads_of_step_1"], *[case["grads_of_steps_2_to_5"]] * 4]
        expected = case["expected_after_each_step"]
    updates, _ = run(opt, params, np.asarray(grads, np.float32), extras(len(grads)))
    # Keras's tests print four digits, some rounded and some cut, and ask for 5e-4.
    np.testing.assert_allclose(params + np.cumsum(updates, axis=0), expected, rtol=0, atol=1.01e-4)


def test_every_golden_case_is_used():
    assert {name for name, _ in OPTIMIZERS} == set(GOLDEN)

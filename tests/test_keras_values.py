"""The values that Keras's own tests expect, for the optimizers whose rule is jopt's.

Keras adds Adam's ε to √v before the bias correction ("epsilon hat"), so jopt's ε is ε / √(1 − β₂ᵗ) there: a schedule.
"""

import json
from pathlib import Path

import numpy as np
import pytest

import jopt
from tests.cases import extras, run
from tests.oracles import epsilon_hat, falling_rate

DATA = Path(__file__).parent / "data"
GOLDEN = {case["case"]: case for path in sorted(DATA.glob("keras_golden*.json")) for case in json.loads(path.read_text())}
DIGITS = 1.01e-4  # Keras's tests print four digits, some rounded and some cut, and ask for 5e-4

ADAM = {"eps": epsilon_hat(1e-7, 0.999)}
OPTIMIZERS = [
    ("sgd.test_single_step", jopt.sgd(0.5)),
    ("sgd.test_single_step", jopt.momentum(0.5, momentum=0.0)),
    # Keras's default momentum is 0.
    ("sgd.test_correctness_with_golden", jopt.momentum(0.01, momentum=0.0, nesterov=True)),
    ("rmsprop.test_single_step", jopt.rmsprop(0.5, eps=1e-7)),
    ("rmsprop.test_correctness_with_golden", jopt.rmsprop(1e-3, eps=1e-7, centered=True)),
    ("adagrad.test_single_step", jopt.adagrad(0.5)),
    ("adagrad.test_correctness_with_golden", jopt.adagrad(0.2, 0.3, eps=1e-6)),
    ("adadelta.test_single_step", jopt.adadelta(0.5, rho=0.95, eps=1e-7)),
    ("adadelta.test_correctness_with_golden", jopt.adadelta(1.0, rho=0.8, eps=1e-6)),
    ("adam.test_single_step", jopt.adam(0.5, **ADAM)),
    ("adam.test_correctness_with_golden", jopt.amsgrad(1e-3, max_before_correction=True, **ADAM)),
    ("adamw.test_single_step", jopt.adamw(0.5, weight_decay=4e-3, **ADAM)),
    (
        "adamw.test_correctness_with_golden",
        jopt.adamw(1.0, weight_decay=0.5, eps=epsilon_hat(2.0, 0.999)),
    ),
    ("adamax.test_single_step", jopt.adamax(0.5, eps=1e-7)),
    ("adamax.test_correctness_with_golden", jopt.adamax(0.2, 0.85, 0.95, eps=1e-6)),
    ("nadam.test_single_step", jopt.nadam(0.5, eps=1e-7, momentum_decay=1.0)),
    ("nadam.test_correctness_with_golden", jopt.nadam(0.5, 0.5, 0.67, eps=1e-5, momentum_decay=1.0)),
]
# Adafactor always has the paper's rate in Keras; these three count ε as here. Lamb's test of five steps prints Adam's values,
# from which Lamb's are away by no more than its tolerance of 1e-3, so it is left out.
OPTIMIZERS += [
    (
        "adafactor.test_correctness_with_golden",
        jopt.adafactor(falling_rate(0.5), decay_rate=0.65, eps=1e-15, min_scale=1e-4, clipping_threshold=0.9),
    ),
    ("lion.test_single_step", jopt.lion(0.5, weight_decay=0.0)),
    ("lion.test_correctness_with_golden", jopt.lion(1e-3, weight_decay=0.0)),
    ("lamb.test_single_step", jopt.lamb(0.5, eps=1e-7)),
]
# Its test prints one column for all ten, the last.
ONE_COLUMN = {"adam.test_correctness_with_golden"}


def difference(name, opt):
    """The largest difference of a parameter after any step."""
    case = GOLDEN[name]
    params = np.asarray(case["initial"], np.float32)
    if "grads" in case:
        grads, expected = [case["grads"]], [case["expected"]]
    else:
        grads = [case["grads_of_step_1"], *[case["grads_of_steps_2_to_5"]] * 4]
        expected = case["expected_after_each_step"]
    updates, _ = run(opt, params, np.asarray(grads, np.float32), extras(len(grads)))
    wrong = np.abs(params + np.cumsum(updates, axis=0) - np.asarray(expected))
    return float(np.max(wrong[:, -1:] if name in ONE_COLUMN else wrong))


@pytest.mark.parametrize(("name", "opt"), OPTIMIZERS, ids=[f"{n}-{o}" for n, o in OPTIMIZERS])
def test_the_parameters_are_those_of_keras_to_its_four_digits(name, opt):
    assert difference(name, opt) <= DIGITS


def test_every_golden_case_is_used():
    assert {name for name, _ in OPTIMIZERS} == set(GOLDEN)

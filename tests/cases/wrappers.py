"""Around other rules: a part of the tree, some of the steps, averages, other numbers."""

from __future__ import annotations

from tests.cases.case import MASK, Case, case, matrices_only
from tests.schedule_cases import BY_NAME

WRAPPERS = [
    case("set_to_zero", "set_to_zero", False),  # Optax has it, but no update to measure a difference by
    case("freeze", "freeze", mask=MASK),
    Case("masked", "masked", {"mask": MASK}, (case("adam", "adam", learning_rate=1e-2),)),
    Case("masked_by_a_function", "masked", {"mask": matrices_only}, (case("trace", "trace", decay=0.9),)),
    Case(
        "partition",
        "partition",
        {"param_labels": {"a": 0, "b": 1, "c": 0}},
        (case("adam", "adam", learning_rate=1e-2), case("sgd", "sgd", learning_rate=BY_NAME["linear"], momentum=0.9)),
    ),
    Case("apply_if_finite", "apply_if_finite", {"max_consecutive_errors": 3}, (case("adam", "adam", learning_rate=1e-2),)),
    Case("accumulate", "accumulate", {"every": 3}, (case("adam", "adam", learning_rate=1e-2),), in_optax=False),
    Case(
        "accumulate_sum",
        "accumulate",
        {"every": 4, "reduction": "sum"},
        (case("sgd", "sgd", learning_rate=0.1, momentum=0.9),),
        in_optax=False,
    ),
    Case(
        "matrixwise",
        "matrixwise",
        {"mask": matrices_only},
        (case("adam", "adam", learning_rate=1e-2), case("momentum", "momentum", learning_rate=0.1)),
        in_optax=False,
    ),
    Case("kahan", "kahan", parts=(case("sgd", "sgd", learning_rate=0.1, momentum=0.9),), in_optax=False),
    Case("master_weights", "master_weights", parts=(case("adamw", "adamw", learning_rate=1e-2),), in_optax=False),
    Case(
        "stochastic_rounding",
        "stochastic_rounding",
        {"seed": 3},
        (case("sgd", "sgd", learning_rate=BY_NAME["linear"], momentum=0.9),),
        in_optax=False,
    ),
    # Around a rule without float32 arrays in its state, since the loops know of no rounding: test_low_precision has others.
    Case("bfloat16_states", "bfloat16_states", {"seed": 3}, (case("sgd", "sgd", learning_rate=0.1),), in_optax=False),
    Case(
        "schedule_free",
        "schedule_free",
        {"learning_rate": BY_NAME["linear_from_100"], "b1": 0.2, "weight_lr_power": 1.0},
        (case("sgd", "sgd", learning_rate=1.0),),
        in_optax=False,
    ),
    Case(
        "hyperball",
        "hyperball",
        {"learning_rate": BY_NAME["linear_from_100"]},
        (case("adam", "adam", learning_rate=1e-2),),
        in_optax=False,
    ),
    Case("parameter_ema", "parameter_ema", {"decay": 0.9}, (case("adam", "adam", learning_rate=1e-2),), in_optax=False),
    Case("tail_average", "tail_average", {"start": 3}, (case("sgd", "sgd", learning_rate=0.1),), in_optax=False),
]

"""Rows of parity with small packages on top of PyTorch, and with Optax where it rounds or counts otherwise.

qhoptim 1.1.0 (its authors'), lion-pytorch 0.2.5, torch-optimi 0.3.3, pytorch-optimizer 4.1.0 (a second source).
"""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from typing import Any

import optax

import jopt
from tests.cases import matrices_only
from tests.oracles import Row, largest, optax_path
from tests.torch_rules import torch_path

# By the name of the package: jopt's optimizer, the package's class, its arguments, and a word on the setting.
PACKAGES: dict[str, list[tuple[Any, str, dict[str, Any], str]]] = {
    "qhoptim": [
        (jopt.qhm(0.1, 0.9), "QHM", {"lr": 0.1, "momentum": 0.9, "nu": 0.7}, "plain"),
        (
            jopt.chain(jopt.add_decayed_weights(0.05), jopt.qhm(0.1, nu=0.5)),
            "QHM",
            {"lr": 0.1, "momentum": 0.999, "nu": 0.5, "weight_decay": 0.05},
            "decay in the gradient",
        ),
        (
            jopt.qhm(0.1, weight_decay=0.05),
            "QHM",
            {"lr": 0.1, "momentum": 0.999, "nu": 0.7, "weight_decay": 0.05, "weight_decay_type": "direct"},
            "decay",
        ),
        (jopt.qhadam(1e-2), "QHAdam", {"lr": 1e-2, "betas": (0.995, 0.999), "nus": (0.7, 1.0)}, "plain"),
        (
            jopt.qhadam(1e-2, 0.9, 0.95, 0.8, 0.6, 1e-4, weight_decay=0.1),
            "QHAdamW",
            {"lr": 1e-2, "betas": (0.9, 0.95), "nus": (0.8, 0.6), "eps": 1e-4, "weight_decay": 0.1},
            "other numbers, decay",
        ),
    ],
    "lion_pytorch": [
        (jopt.lion(1e-2, weight_decay=0.1), "Lion", {"lr": 1e-2, "weight_decay": 0.1}, "decay"),
        (
            jopt.lion(1e-2, 0.8, 0.95, weight_decay=1e-3, decoupled=True),
            "Lion",
            {"lr": 1e-2, "betas": (0.8, 0.95), "weight_decay": 1e-3, "decoupled_weight_decay": True},
            "decoupled decay",
        ),
    ],
    "optimi": [
        (jopt.lion(1e-2, weight_decay=0.1), "Lion", {"lr": 1e-2, "betas": (0.9, 0.99), "weight_decay": 0.1}, "decay"),
        (jopt.adan(1e-2, eps_root=0.0), "Adan", {"lr": 1e-2, "weight_decay": 0.0, "eps": 1e-8}, "plain"),
        (
            jopt.chain(jopt.adan(1e-2, 0.9, 0.8, 0.95, 1e-4, 0.0, 0.1), jopt.scale(1.0 / (1.0 + 1e-2 * 0.1))),
            "Adan",
            {"lr": 1e-2, "betas": (0.9, 0.8, 0.95), "weight_decay": 0.1, "eps": 1e-4},
            "other numbers, weights that shrink after the step",
        ),
        (
            jopt.chain(jopt.adan(1e-2, eps_root=0.0, weight_decay=0.1), jopt.scale(1.0 / (1.0 + 1e-2 * 0.1))),
            "Adan",
            {"lr": 1e-2, "weight_decay": 0.1, "eps": 1e-8},
            "weights that shrink after the step",
        ),
    ],
    "pytorch_optimizer": [
        (jopt.aggmo(0.1), "AggMo", {"lr": 0.1}, "plain"),
        (
            jopt.aggmo(0.1, (0.5, 0.9), weight_decay=0.05),
            "AggMo",
            {"lr": 0.1, "betas": (0.5, 0.9), "weight_decay": 0.05, "weight_decouple": True},
            "other betas, decay",
        ),
        (
            jopt.chain(jopt.add_decayed_weights(0.05), jopt.aggmo(0.1)),
            "AggMo",
            {"lr": 0.1, "weight_decay": 0.05},
            "decay in the gradient",
        ),
        (jopt.qhm(0.1, 0.9), "QHM", {"lr": 0.1, "momentum": 0.9, "nu": 0.7}, "plain"),
        (jopt.adabelief(1e-2), "AdaBelief", {"lr": 1e-2}, "plain"),
        (jopt.adabelief(1e-2, weight_decay=0.1), "AdaBelief", {"lr": 1e-2, "weight_decay": 0.1}, "decay"),
        (
            jopt.adabelief(1e-2, weight_decay=1e-3, decoupled=True),
            "AdaBelief",
            {"lr": 1e-2, "weight_decay": 1e-3, "fixed_decay": True},
            "decoupled decay",
        ),
        (
            jopt.lars(0.1, trust_ratio_mask=matrices_only, momentum=0.0),
            "LARS",
            {"lr": 0.1, "momentum": 0.0},
            "matrices alone, no momentum, no decay",
        ),
        (jopt.lars(0.1, trust_ratio_mask=matrices_only), "LARS", {"lr": 0.1}, "matrices alone, no decay"),
        (jopt.lion(1e-2, weight_decay=0.1), "Lion", {"lr": 1e-2, "weight_decay": 0.1}, "decay"),
        (
            jopt.sign_sgd(1e-2, weight_decay=0.1),
            "SignSGD",
            {"lr": 1e-2, "momentum": 0.0, "weight_decay": 0.1},
            "no momentum, decay",
        ),
        (
            jopt.signum(1e-2, 0.8, weight_decay=0.1),
            "SignSGD",
            {"lr": 1e-2, "momentum": 0.8, "weight_decay": 0.1},
            "momentum, decay",
        ),
        (
            jopt.adan(1e-2, eps_root=0.0, weight_decay=0.1),
            "Adan",
            {"lr": 1e-2, "weight_decay": 0.1, "weight_decouple": True},
            "decay",
        ),
    ],
}

# What the packages have under the same name, and is another rule: what is meant by the difference.
ON_PURPOSE: dict[str, list[tuple[Any, str, dict[str, Any], str]]] = {
    "optimi": [
        (
            jopt.adan(1e-2, eps_root=0.0, weight_decay=0.1),
            "Adan",
            {"lr": 1e-2, "weight_decay": 0.1, "eps": 1e-8},
            "shrinks the weights by 1 / (1 + α λ) after the step, as the authors' code unless asked otherwise",
        ),
    ],
    "pytorch_optimizer": [
        (jopt.lamb(1e-2), "Lamb", {"lr": 1e-2}, "has no bias correction, and bounds ‖w‖ by 10"),
        (
            jopt.lars(0.1, 0.1, momentum=0.0),
            "LARS",
            {"lr": 0.1, "momentum": 0.0, "weight_decay": 0.1},
            "has ‖g‖ without the decay in the ratio, and neither scales nor decays vectors",
        ),
    ],
}
MODULES = {"qhoptim": "qhoptim.pyt"}
FLOAT32 = "Optax takes 1 − t⁻ᶜ in float32"


def rows(package: str) -> list[Row]:
    """The rows of a package; none where it is not installed."""
    if importlib.util.find_spec(package) is None or importlib.util.find_spec("torch") is None:
        return []
    same = [_row(package, *entry[:3], entry[3]) for entry in PACKAGES[package]]
    return same + [_row(package, *e[:3], "called alike", e[3], deliberate=True) for e in ON_PURPOSE.get(package, [])]


def _row(package: str, ours: Any, name: str, arguments: dict[str, Any], setting: str, remark: str = "", **words: Any) -> Row:
    def make(weights: Any) -> Any:
        module = importlib.import_module(MODULES.get(package, package))
        return getattr(module, name)(weights, **arguments)

    def measure() -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the older packages call PyTorch as it was in their time
            return largest(ours, torch_path(make))

    return Row(_name(ours), package, setting, measure, remark=remark, **words)


def _name(optimizer: Any) -> str:
    """The name of the rule, which in a chain is the one with a learning rate."""
    numbers = optimizer.hyperparams
    own = optimizer.bound.spec.factory.name
    return own if "learning_rate" in numbers else next(k for k, v in numbers.items() if "learning_rate" in v)


def of_optax() -> list[Row]:
    """Where Optax rounds, counts otherwise, or is another rule."""
    bare = {"multiply_by_parameter_scale": False, "clipping_threshold": None, "factored": False}
    numbers = {"weight_decay_rate": 1e-3, "weight_decay_mask": matrices_only, "eps": 1e-6}
    pairs: list[tuple[str, Any, Any, dict[str, Any]]] = [
        ("plain", jopt.adafactor(0.01), optax.adafactor(0.01), {"limit": 1e-6, "remark": FLOAT32}),
        (
            "factored, other numbers, decay, mask",
            jopt.adafactor(0.01, 2, 0.6, **numbers),
            optax.adafactor(0.01, 2, 0.6, **numbers),
            {"limit": 1e-6, "remark": FLOAT32},
        ),
        (
            "bare, momentum",
            jopt.adafactor(0.01, momentum=0.9, **bare),
            optax.adafactor(0.01, momentum=0.9, **bare),
            {"limit": 1e-6, "remark": f"{FLOAT32}, and the momentum"},
        ),
        ("look_ahead=1 - b2", jopt.adan(1e-2, look_ahead=1.0 - 0.92), optax.adan(1e-2), {}),
        (
            "look_ahead=1 - b2, other numbers, decay, mask",
            jopt.adan(1e-2, 0.9, 0.8, 0.95, 1e-4, 1e-6, 0.1, matrices_only, look_ahead=1.0 - 0.8),
            optax.adan(1e-2, 0.9, 0.8, 0.95, 1e-4, 1e-6, 0.1, matrices_only),
            {},
        ),
        (
            "called alike",
            jopt.adan(1e-2),
            optax.adan(1e-2),
            {"remark": "weighs the differences by 1 − β₂, the paper and its code by what is β₂ here", "deliberate": True},
        ),
    ]
    return [
        Row(_name(ours), "Optax", setting, lambda ours=ours, theirs=theirs: largest(ours, optax_path(theirs)), **words)
        for setting, ours, theirs, words in pairs
    ]

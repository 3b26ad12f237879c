"""Against implementations that nobody here wrote: 200 steps in float64, each row with its bar.

``python -m tests.test_parity_modern`` prints the table: the largest difference of a parameter on the way, relative to the
largest element of its leaf, for every oracle that is installed. What is not the same rule is said in ``DIFFERENT``.

qhoptim 1.1.0, lion-pytorch 0.2.5, torch-optimi 0.3.3 and pytorch-optimizer 4.1.0 are small packages on top of PyTorch.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import json
import warnings
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jopt
from tests.cases import extras, matrices_only, run, run_optax, tree_like

STEPS = 200
SHAPES = {"w": (4, 3), "b": (5,), "k": (2, 3, 4), "s": ()}


@dataclasses.dataclass(frozen=True)
class Torch:
    """An optimizer of a package on top of PyTorch."""

    module: str
    name: str
    settings: dict[str, Any]

    @property
    def title(self) -> str:
        return self.module.split(".")[0]


def _torch(module: str, name: str, **settings: Any) -> Torch:
    return Torch(module, name, settings)


@dataclasses.dataclass(frozen=True)
class Row:
    """One of jopt's optimizers, another's, and how far they may be apart."""

    name: str
    ours: Any
    theirs: Any
    bar: float = 1e-10
    remark: str = ""

    @property
    def oracle(self) -> str:
        return self.theirs.title if isinstance(self.theirs, Torch) else "optax"


@jopt.schedule
def relative(cap):
    """Adafactor's own rate, min(cap, 1 / √t) at update t = 1, 2, ..."""
    return lambda step: jnp.minimum(cap, 1.0 / jnp.sqrt(jopt.schedules.as_time(step) + 1.0))


def as_torchs_adafactor(lr=1e-2, weight_decay=0.0, beta2_decay=-0.8, d=1.0, maximize=False):
    """PyTorch's Adafactor in jopt's words."""
    opt = jopt.adafactor(
        relative(lr),
        min_dim_size_to_factor=1,
        decay_rate=-beta2_decay,
        clipping_threshold=d,
        weight_decay_rate=lr * weight_decay,
    )
    return jopt.chain(jopt.scale(-1.0), opt) if maximize else opt


OPTIM_DB = {  # PyTorch's own configurations of Adafactor, by its words for them
    "default": {},
    "nonzero weight_decay": {"weight_decay": 0.1, "lr": 0.01},
    "maximize": {"weight_decay": 0.1, "maximize": True},
    "non-default beta2_decay": {"beta2_decay": -1.0},
    "non-default clipping threshold d": {"d": 1.5},
}


def of_optim_db(desc: str, words: dict[str, Any]) -> Row:
    return Row(f"adafactor, {desc}", as_torchs_adafactor(**words), _torch("torch.optim", "Adafactor", **words))


IN_FLOAT32 = "Optax takes 1 − t⁻ᶜ in float32"
PO = "pytorch_optimizer"
ROWS = [
    Row("qhm", jopt.qhm(0.1, 0.9), _torch("qhoptim.pyt", "QHM", lr=0.1, momentum=0.9, nu=0.7)),
    Row(
        "qhm, decay in the gradient",
        jopt.chain(jopt.add_decayed_weights(0.05), jopt.qhm(0.1, nu=0.5)),
        _torch("qhoptim.pyt", "QHM", lr=0.1, momentum=0.999, nu=0.5, weight_decay=0.05),
    ),
    Row(
        "qhm, decay",
        jopt.qhm(0.1, weight_decay=0.05),
        _torch("qhoptim.pyt", "QHM", lr=0.1, momentum=0.999, nu=0.7, weight_decay=0.05, weight_decay_type="direct"),
    ),
    Row("qhadam", jopt.qhadam(1e-2), _torch("qhoptim.pyt", "QHAdam", lr=1e-2, betas=(0.995, 0.999), nus=(0.7, 1.0))),
    Row(
        "qhadam, other numbers and decay",
        jopt.qhadam(1e-2, 0.9, 0.95, 0.8, 0.6, 1e-4, weight_decay=0.1),
        _torch("qhoptim.pyt", "QHAdamW", lr=1e-2, betas=(0.9, 0.95), nus=(0.8, 0.6), weight_decay=0.1, eps=1e-4),
    ),
    Row("aggmo", jopt.aggmo(0.1), _torch(PO, "AggMo", lr=0.1)),
    Row(
        "aggmo, other betas and decay",
        jopt.aggmo(0.1, (0.5, 0.9), weight_decay=0.05),
        _torch(PO, "AggMo", lr=0.1, betas=(0.5, 0.9), weight_decay=0.05, weight_decouple=True),
    ),
    Row(
        "aggmo, decay in the gradient",
        jopt.chain(jopt.add_decayed_weights(0.05), jopt.aggmo(0.1)),
        _torch(PO, "AggMo", lr=0.1, weight_decay=0.05),
    ),
    Row("adabelief", jopt.adabelief(1e-2), optax.adabelief(1e-2)),
    Row(
        "adabelief, nesterov",
        jopt.adabelief(1e-2, 0.8, 0.99, 1e-8, 1e-6, nesterov=True),
        optax.adabelief(1e-2, 0.8, 0.99, 1e-8, 1e-6, nesterov=True),
    ),
    Row("adabelief", jopt.adabelief(1e-2), _torch(PO, "AdaBelief", lr=1e-2)),
    Row(
        "adabelief, decay",
        jopt.adabelief(1e-2, weight_decay=0.1),
        _torch(PO, "AdaBelief", lr=1e-2, weight_decay=0.1),
    ),
    Row(
        "adabelief, decay, decoupled",
        jopt.adabelief(1e-2, weight_decay=1e-3, decoupled=True),
        _torch(PO, "AdaBelief", lr=1e-2, weight_decay=1e-3, fixed_decay=True),
    ),
    Row("lamb", jopt.lamb(1e-2), optax.lamb(1e-2)),
    Row(
        "lamb, decay and mask",
        jopt.lamb(1e-2, 0.8, 0.99, 1e-4, 1e-6, 0.1, matrices_only),
        optax.lamb(1e-2, 0.8, 0.99, 1e-4, 1e-6, 0.1, matrices_only),
    ),
    Row("lars", jopt.lars(0.1), optax.lars(0.1)),
    Row(
        "lars, decay, masks and nesterov",
        jopt.lars(0.1, 0.1, matrices_only, 0.01, 1e-3, matrices_only, 0.8, nesterov=True),
        optax.lars(0.1, 0.1, matrices_only, 0.01, 1e-3, matrices_only, 0.8, nesterov=True),
    ),
    Row(
        "lars, matrices alone, no momentum",
        jopt.lars(0.1, trust_ratio_mask=matrices_only, momentum=0.0),
        _torch(PO, "LARS", lr=0.1, momentum=0.0),
    ),
    *(of_optim_db(desc, words) for desc, words in OPTIM_DB.items()),
    Row("adafactor", jopt.adafactor(0.01), optax.adafactor(0.01), 1e-6, IN_FLOAT32),
    Row(
        "adafactor, factored",
        jopt.adafactor(0.01, 2, 0.6, weight_decay_rate=1e-3, weight_decay_mask=matrices_only, eps=1e-6),
        optax.adafactor(0.01, 2, 0.6, weight_decay_rate=1e-3, weight_decay_mask=matrices_only, eps=1e-6),
        1e-6,
        IN_FLOAT32,
    ),
    Row(
        "adafactor, bare, with momentum",
        jopt.adafactor(0.01, multiply_by_parameter_scale=False, clipping_threshold=None, momentum=0.9, factored=False),
        optax.adafactor(
            0.01,
            multiply_by_parameter_scale=False,
            clipping_threshold=None,
            momentum=0.9,
            dtype_momentum=jnp.float32,
            factored=False,
        ),
        1e-6,
        f"{IN_FLOAT32}, and the momentum",
    ),
    Row("lion", jopt.lion(1e-2), optax.lion(1e-2)),
    Row(
        "lion, other numbers and mask",
        jopt.lion(1e-2, 0.95, 0.98, None, 0.1, matrices_only),
        optax.lion(1e-2, 0.95, 0.98, None, 0.1, matrices_only),
    ),
    Row("lion, decay", jopt.lion(1e-2, weight_decay=0.1), _torch("lion_pytorch", "Lion", lr=1e-2, weight_decay=0.1)),
    Row(
        "lion, decay, decoupled",
        jopt.lion(1e-2, weight_decay=1e-3, decoupled=True),
        _torch("lion_pytorch", "Lion", lr=1e-2, weight_decay=1e-3, decoupled_weight_decay=True),
    ),
    Row("lion, decay", jopt.lion(1e-2, weight_decay=0.1), _torch(PO, "Lion", lr=1e-2, weight_decay=0.1)),
    Row("lion, decay", jopt.lion(1e-2, weight_decay=0.1), _torch("optimi", "Lion", lr=1e-2, betas=(0.9, 0.99), weight_decay=0.1)),
    Row("sign_sgd", jopt.sign_sgd(1e-2), optax.sign_sgd(1e-2)),
    Row(
        "sign_sgd, decay",
        jopt.sign_sgd(1e-2, weight_decay=0.1),
        _torch(PO, "SignSGD", lr=1e-2, momentum=0.0, weight_decay=0.1),
    ),
    Row("signum", jopt.signum(1e-2), optax.signum(1e-2)),
    Row("signum, decay", jopt.signum(1e-2, 0.8, weight_decay=0.1), _torch(PO, "SignSGD", lr=1e-2, momentum=0.8, weight_decay=0.1)),
    Row("adan, look_ahead=1 - b2", jopt.adan(1e-2, look_ahead=0.08), optax.adan(1e-2)),
    Row(
        "adan, look_ahead=1 - b2, other numbers, decay and mask",
        jopt.adan(1e-2, 0.9, 0.8, 0.95, 1e-4, 1e-6, 0.1, matrices_only, look_ahead=1.0 - 0.8),
        optax.adan(1e-2, 0.9, 0.8, 0.95, 1e-4, 1e-6, 0.1, matrices_only),
    ),
    Row(
        "adan",
        jopt.adan(1e-2, eps_root=0.0),
        _torch("optimi", "Adan", lr=1e-2, weight_decay=0.0, eps=1e-8),
    ),
    Row(
        "adan, decay",
        jopt.adan(1e-2, eps_root=0.0, weight_decay=0.1),
        _torch("optimi", "Adan", lr=1e-2, weight_decay=0.1, eps=1e-8, adam_wd=True),
    ),
    Row(
        "adan, shrunk after the step",
        jopt.chain(jopt.adan(1e-2, eps_root=0.0, weight_decay=0.1), jopt.scale(1.0 / (1.0 + 1e-2 * 0.1))),
        _torch("optimi", "Adan", lr=1e-2, weight_decay=0.1, eps=1e-8),
    ),
    Row(
        "adan, decay",
        jopt.adan(1e-2, eps_root=0.0, weight_decay=0.1),
        _torch(PO, "Adan", lr=1e-2, weight_decay=0.1, weight_decouple=True),
    ),
]

DIFFERENT = {
    "adan, optax": "γ = 1 − β₂ in place of the paper's β₂ (as jopt counts it); look_ahead=1 - b2 is Optax's rule",
    "adan, optimi and the authors": "shrink the weights by 1 / (1 + α λ) after the step unless asked otherwise",
    "adafactor, optax": "β in float32; with decay_offset, t⁻ᶜ of a negative t in the first steps",
    "adafactor, torch": "always the rate min(lr, 1 / √t); λ times lr; v bounded from below in place of + ε",
    "lamb, pytorch_optimizer": "no bias correction, ‖w‖ bounded by 10, ε in the ratio: another rule",
    "lars, pytorch_optimizer": "‖g‖ without the decay in the ratio, and the first gradient counts 1 + μ times in the velocity",
    "adabelief, pytorch_optimizer": "1e-15 more in the root",
    "lars, the paper": "‖g‖ + λ ‖w‖ in place of ‖g + λ w‖",
}


def ours(row: Row, params: Any, grads: Any) -> Any:
    return run(row.ours, params, grads, extras(STEPS))[0]


def theirs(row: Row, params: Any, grads: Any) -> Any:
    if not isinstance(row.theirs, Torch):
        return run_optax(row.theirs, params, grads, extras(STEPS))[0]
    import torch

    names = list(params)
    weights = [torch.nn.Parameter(torch.tensor(params[name])) for name in names]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the older packages call PyTorch as it was in their time
        optimizer = getattr(importlib.import_module(row.theirs.module), row.theirs.name)(weights, **row.theirs.settings)
        path: dict[str, list[np.ndarray]] = {name: [params[name]] for name in names}
        for t in range(STEPS):
            for name, weight in zip(names, weights, strict=True):
                weight.grad = torch.tensor(grads[name][t])
            optimizer.step()
            for name, weight in zip(names, weights, strict=True):
                path[name].append(weight.detach().numpy().copy())
    return {name: np.diff(np.stack(steps), axis=0) for name, steps in path.items()}


def difference(row: Row) -> float:
    """The largest difference of a parameter on the way, relative to the largest element of its leaf."""
    params, grads = tree_like(SHAPES, 0, dtype=np.float64), tree_like(SHAPES, 1, STEPS, np.float64)
    found, expected = ours(row, params, grads), theirs(row, params, grads)
    worst = 0.0
    for name, start in params.items():
        one, other = (start + np.cumsum(np.asarray(updates[name], np.float64), axis=0) for updates in (found, expected))
        worst = max(worst, float(np.max(np.abs(one - other)) / np.max(np.abs(other))))
    return worst


def installed(row: Row) -> bool:
    return not isinstance(row.theirs, Torch) or importlib.util.find_spec(row.theirs.title) is not None


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.name}-{row.oracle}")
def test_200_steps_in_float64_agree_with_the_oracle(row, x64):
    if not installed(row):
        pytest.skip(f"{row.oracle} is not installed")
    assert difference(row) <= row.bar


def test_the_rule_of_optaxs_adan_is_not_the_papers(x64):
    row = Row("adan", jopt.adan(1e-2), optax.adan(1e-2))
    assert difference(row) > 1e-3


# Keras, whose tests print four digits and count ε as Optax does in these three

KERAS = json.loads((Path(__file__).parent / "data" / "keras_golden_modern.json").read_text())
IN_KERAS = {
    "adafactor.test_correctness_with_golden": jopt.adafactor(
        relative(0.5), decay_rate=0.65, eps=1e-15, min_scale=1e-4, clipping_threshold=0.9
    ),
    "lion.test_single_step": jopt.lion(0.5, weight_decay=0.0),
    "lion.test_correctness_with_golden": jopt.lion(1e-3, weight_decay=0.0),
    "lamb.test_single_step": jopt.lamb(0.5, eps=1e-7),
    "lamb.test_correctness_with_golden": jopt.lamb(1e-3, eps=1e-7),
}


@pytest.mark.parametrize("case", KERAS, ids=lambda case: case["case"])
def test_the_parameters_are_those_of_keras_to_its_four_digits(case):
    params = np.asarray(case["initial"], np.float32)
    if "grads" in case:
        grads, expected = [case["grads"]], [case["expected"]]
    else:
        grads = [case["grads_of_step_1"], *[case["grads_of_steps_2_to_5"]] * 4]
        expected = case["expected_after_each_step"]
    updates, _ = run(IN_KERAS[case["case"]], params, np.asarray(grads, np.float32), extras(len(grads)))
    np.testing.assert_allclose(params + np.cumsum(updates, axis=0), expected, rtol=0, atol=1.01e-4)


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    print("| optimizer | oracle | largest difference | what the oracle rounds |", "| --- | --- | --- | --- |", sep="\n")
    for row in ROWS:
        found = f"{difference(row):.1e}" if installed(row) else "not installed"
        print(f"| {row.name} | {row.oracle} | {found} | {row.remark} |")
    for what, why in DIFFERENT.items():
        print(f"{what}: {why}")


if __name__ == "__main__":
    main()

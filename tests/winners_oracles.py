"""Rows of parity of AdEMAMix, MARS, Prodigy, Schedule-Free, hyperball and cautious decay.

schedulefree 1.4.1 and prodigyopt 1.1.2 (their authors'), pytorch-optimizer 4.1.0, heavyball 3.2.1 (float32), Optax. MARS's and
AdEMAMix's authors have no package; their code is what pytorch-optimizer's follows.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import io
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib

import jopt
from tests.cases import run
from tests.oracles import SEEN, Row, epsilon_hat, largest, optax_path, path, start
from tests.torch_rules import torch_path


@jopt.schedule
def rectified(learning_rate: Any, b2: Any, before: Any) -> Any:
    """RAdam's rate: times its rectification, and times ``before`` where this has no value yet."""

    def rate(step: Any) -> Any:
        t = jopt.schedules.as_time(step) + 1.0
        longest = 2.0 / (1.0 - b2) - 1.0
        rho = longest - 2.0 * t * b2**t / (1.0 - b2**t)
        known = jnp.where(rho > 4.0, rho, 5.0)
        part = (known - 4.0) * (known - 2.0) * longest / ((longest - 4.0) * (longest - 2.0) * known)
        return learning_rate * jnp.where(rho > 4.0, jnp.sqrt(part), before)

    return rate


def _free_radam(rate: Any, b2: float, weight_decay: float) -> Any:
    scaled = jopt.scale_by_rms(b2, 1e-8, eps_in_sqrt=False, bias_correction=True)
    decay = jopt.add_decayed_weights(weight_decay)
    return jopt.schedule_free(jopt.chain(scaled, decay, jopt.scale_by_learning_rate(rate)), rate)


_TURNED = jopt.hyperball(
    jopt.chain(jopt.scale_by_rms(0.99, 1e-8, eps_in_sqrt=False, bias_correction=True), jopt.scale(-0.05)), 0.05
)
_HEAVY = {"compile_step": False, "gradient_clipping": None, "update_clipping": None}
FLOAT32 = "computes in float32"
# By the name of the package: jopt's optimizer, the package's class, its arguments, a word on the setting, the limit.
PACKAGES: dict[str, list[tuple[str, Any, str, dict[str, Any], str, float]]] = {
    "schedulefree": [
        ("schedule_free_sgd", jopt.schedule_free_sgd(0.5), "SGDScheduleFree", {"lr": 0.5}, "plain", 1e-10),
        (
            "schedule_free_sgd",
            jopt.schedule_free_sgd(0.5, 30, 0.7, 0.05, 1.5),
            "SGDScheduleFree",
            {"lr": 0.5, "momentum": 0.7, "weight_decay": 0.05, "warmup_steps": 30, "weight_lr_power": 1.5},
            "warm-up, decay, other numbers",
            1e-10,
        ),
        ("schedule_free_adamw", jopt.schedule_free_adamw(0.01), "AdamWScheduleFree", {"lr": 0.01}, "plain", 1e-10),
        (
            "schedule_free_adamw",
            jopt.schedule_free_adamw(0.01, 50, 0.95, 0.99, 1e-4, 0.1),
            "AdamWScheduleFree",
            {"lr": 0.01, "betas": (0.95, 0.99), "eps": 1e-4, "weight_decay": 0.1, "warmup_steps": 50},
            "warm-up, decay, other numbers",
            1e-10,
        ),
        (
            "schedule_free",
            _free_radam(rectified(0.01, 0.999, 0.0), 0.999, 0.1),
            "RAdamScheduleFree",
            {"lr": 0.01, "weight_decay": 0.1},
            "RAdam: silent at first, decay",
            1e-10,
        ),
    ],
    "prodigyopt": [
        ("prodigy", jopt.prodigy(estim_lr0=0.1, estim_lr_coef=0.2), "Prodigy", {"d0": 0.1, "d_coef": 0.2}, "plain", 1e-10),
        (
            "prodigy",
            jopt.prodigy(0.5, (0.8, 0.95), 0.9, 1e-4, 0.3, 1.5, 0.1, bias_correction=True),
            "Prodigy",
            {
                "lr": 0.5,
                "betas": (0.8, 0.95),
                "beta3": 0.9,
                "eps": 1e-4,
                "d0": 0.3,
                "d_coef": 1.5,
                "weight_decay": 0.1,
                "use_bias_correction": True,
            },
            "bias correction, decay, other numbers",
            1e-10,
        ),
        (
            "prodigy",
            jopt.prodigy(0.5, estim_lr0=0.3, estim_lr_coef=2.0, safeguard_warmup=True),
            "Prodigy",
            {"lr": 0.5, "d0": 0.3, "d_coef": 2.0, "safeguard_warmup": True},
            "safeguard",
            1e-10,
        ),
    ],
    "pytorch_optimizer": [
        ("ademamix", jopt.ademamix(1e-2), "AdEMAMix", {"lr": 1e-2}, "plain", 1e-10),
        (
            "ademamix",
            jopt.ademamix(1e-2, 0.8, 0.99, 0.999, 8.0, 1e-4, weight_decay=0.1, warmup_steps=150),
            "AdEMAMix",
            {
                "lr": 1e-2,
                "betas": (0.8, 0.99, 0.999),
                "alpha": 8.0,
                "eps": 1e-4,
                "t_alpha_beta3": 150,
                "weight_decay": 0.1,
                "weight_decouple": True,
            },
            "warm-up, decay, other numbers",
            1e-10,
        ),
        ("mars", jopt.mars(1e-2, eps=0.0, learning_rate_1d=3e-3), "MARS", {"lr": 1e-2, "eps": 0.0}, "no eps", 1e-10),
        (
            "mars",
            jopt.mars(1e-2, 0.9, 0.95, epsilon_hat(1e-6, 0.95), 0.2, gamma=0.1, optimize_1d=True),
            "MARS",
            {"lr": 1e-2, "betas": (0.9, 0.95), "eps": 1e-6, "weight_decay": 0.2, "gamma": 0.1, "optimize_1d": True},
            "vectors too, decay, ε before the correction",
            1e-10,
        ),
        (
            "mars",
            jopt.chain(
                jopt.correct_by_mars(0.9), jopt.ema(0.9, debias=False), jopt.scale_by_sign(), jopt.scale_by_learning_rate(1e-2)
            ),
            "MARS",
            {"lr": 1e-2, "betas": (0.9, 0.99), "mars_type": "lion", "optimize_1d": True},
            "Lion's form",
            1e-10,
        ),
    ],
    "heavyball": [
        ("ademamix", jopt.ademamix(1e-2, alpha=2.0), "AdEMAMix", {"lr": 1e-2, **_HEAVY}, "plain", 1e-6),
        ("hyperball", _TURNED, "HyperBallAdamW", {"lr": 0.05, **_HEAVY}, "around RMSProp", 1e-6),
        (
            "add_cautious_weight_decay",
            jopt.chain(jopt.scale_by_adam(0.9, 0.99), jopt.add_cautious_weight_decay(0.2), jopt.scale_by_learning_rate(1e-2)),
            "AdamW",
            {"lr": 1e-2, "betas": (0.9, 0.99), "weight_decay": 0.2, "cautious_weight_decay": True, **_HEAVY},
            "behind Adam",
            1e-6,
        ),
    ],
}


def rows(package: str) -> list[Row]:
    """The rows of a package; none where it is not installed."""
    if importlib.util.find_spec(package) is None or importlib.util.find_spec("torch") is None:
        return []
    found = [_row(package, *entry) for entry in PACKAGES[package]]
    if package == "schedulefree":
        found += [_row(package, *entry, measure=_average) for entry in PACKAGES[package]]
    return found


def _row(
    package: str,
    optimizer: str,
    ours: Any,
    name: str,
    arguments: dict[str, Any],
    setting: str,
    limit: float,
    measure: Callable[[Any, Callable[[Any], Any]], float] | None = None,
) -> Row:
    def make(weights: Any) -> Any:
        module = importlib.import_module(package)
        made = getattr(module, name)(weights, **arguments)
        if package == "schedulefree":
            made.train()
        return made

    def quietly() -> float:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")  # what the packages say of themselves
            return measure(ours, make) if measure else largest(ours, torch_path(make))

    remark = FLOAT32 if package == "heavyball" else ""
    return Row(optimizer, package, setting if measure is None else f"the average: {setting}", quietly, limit, remark)


def _average(ours: Any, make: Callable[[Any], Any]) -> float:
    """The largest difference of the averages at the end."""
    made: dict[str, Any] = {}

    def kept(weights: Any) -> Any:
        made.update(weights=weights, optimizer=make(weights))
        return made["optimizer"]

    params, grads = start()
    torch_path(kept)(params, grads)
    made["optimizer"].eval()
    updates, state = run(ours, params, grads, SEEN)
    last = jax.tree.map(lambda x: x[-1], path(updates, params))
    found = jax.tree.leaves(jopt.evaluation_params(state, last))
    theirs = [w.detach().numpy() for w in made["weights"]]
    return max(float(np.max(np.abs(x - y)) / np.max(np.abs(y))) for x, y in zip(found, theirs, strict=True))


def of_optax() -> list[Row]:
    """Beside Optax's contributions; where it weighs by the next step's rate, at rates that stay."""
    pairs: list[tuple[str, str, Any, Any]] = [
        ("ademamix", "plain", jopt.ademamix(1e-2), optax.contrib.ademamix(1e-2)),
        (
            "ademamix",
            "schedules, decay, other numbers",
            jopt.ademamix(1e-2, 0.8, 0.99, _slowly, _more, 1e-4, 1e-6, weight_decay=0.1),
            optax.contrib.ademamix(1e-2, 0.8, 0.99, _slowly, _more, 1e-4, 1e-6, weight_decay=0.1),
        ),
        (
            "prodigy",
            "bias_correction",
            jopt.prodigy(estim_lr0=0.1, estim_lr_coef=0.2, weight_decay=0.1, bias_correction=True),
            optax.contrib.prodigy(estim_lr0=0.1, estim_lr_coef=0.2, weight_decay=0.1),
        ),
        ("schedule_free_sgd", "plain", jopt.schedule_free_sgd(0.5), optax.contrib.schedule_free_sgd(0.5)),
        (
            "schedule_free_adamw",
            "decay",
            jopt.schedule_free_adamw(0.01, weight_decay=0.1),
            optax.contrib.schedule_free_adamw(0.01, weight_decay=0.1),
        ),
        (
            "schedule_free",
            "around Lion",
            jopt.schedule_free(jopt.lion(1e-2), 1e-2, 0.8, 0.0),
            optax.contrib.schedule_free(optax.lion(1e-2), 1e-2, 0.8, 0.0),
        ),
    ]
    return [
        Row(optimizer, "Optax", setting, functools.partial(largest, ours, optax_path(theirs)))
        for optimizer, setting, ours, theirs in pairs
    ]


def on_purpose() -> list[Row]:
    """What differs where both libraries are called alike."""
    pairs = [
        ("prodigy", "always corrects the bias", jopt.prodigy(), optax.contrib.prodigy()),
        (
            "schedule_free_adamw",
            "begins a warm-up with a step of none",
            jopt.schedule_free_adamw(0.01, 20),
            optax.contrib.schedule_free_adamw(0.01, 20),
        ),
    ]
    return [
        Row(name, "Optax", "called alike", functools.partial(largest, ours, optax_path(theirs)), remark=remark, deliberate=True)
        for name, remark, ours, theirs in pairs
    ]


def _slowly(count: Any) -> Any:
    return 0.99 + 1e-5 * count


def _more(count: Any) -> Any:
    return 0.05 * count

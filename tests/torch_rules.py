"""torch.optim's classes as jopt writes them, and every configuration that PyTorch tests its own with, as rows of parity.

``RULES`` is the table from torch's arguments to jopt's: a function of a torch optimizer's ``defaults``, that is, of all its
arguments with their values. What every class has alike is not in it: ``maximize`` turns the gradient round, and
``weight_decay``, where it is not decoupled, adds to it.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
import types
import unittest
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

import jopt
from tests.oracles import Row, epsilon_hat, falling_rate, largest
from tests.schedule_cases import SCHEDULES

Arguments = Mapping[str, Any]


@jopt.schedule
def inverse_time(init_value: Any, decay: Any) -> Any:
    """Torch's ``lr_decay`` of Adagrad."""
    return lambda t: init_value / (1.0 + decay * jopt.schedules.as_time(t))


def _adam(d: Arguments) -> Any:
    moments = (*d["betas"], d["eps"])
    if not d["amsgrad"]:
        return jopt.adam(d["lr"], *moments)
    return jopt.amsgrad(d["lr"], *moments, max_before_correction=True)


def _adamw(d: Arguments) -> Any:
    if not d["amsgrad"]:
        return jopt.adamw(d["lr"], *d["betas"], d["eps"], weight_decay=d["weight_decay"])
    rule = jopt.scale_by_amsgrad(*d["betas"], d["eps"], max_before_correction=True)
    return jopt.chain(rule, jopt.add_decayed_weights(d["weight_decay"]), jopt.scale_by_learning_rate(d["lr"]))


def _nadam(d: Arguments) -> Any:
    arguments = (d["lr"], *d["betas"], d["eps"])
    if not d["decoupled_weight_decay"]:
        return jopt.nadam(*arguments, momentum_decay=d["momentum_decay"])
    return jopt.nadamw(*arguments, weight_decay=d["weight_decay"], momentum_decay=d["momentum_decay"])


def _radam(d: Arguments) -> Any:
    moments = (*d["betas"], epsilon_hat(d["eps"], d["betas"][1]))
    if not d["decoupled_weight_decay"]:
        return jopt.radam(d["lr"], *moments)
    decay = jopt.add_decayed_weights(d["weight_decay"])
    return jopt.chain(jopt.scale_by_radam(*moments), decay, jopt.scale_by_learning_rate(d["lr"]))


def _rmsprop(d: Arguments) -> Any:
    return jopt.rmsprop(
        d["lr"],
        d["alpha"],
        d["eps"],
        eps_in_sqrt=False,
        centered=d["centered"],
        momentum=d["momentum"] or None,
        rate_inside=False,
    )


def _sgd(d: Arguments) -> Any:
    if not d["momentum"]:
        return jopt.sgd(d["lr"])
    return jopt.sgd(d["lr"], d["momentum"], d["nesterov"], dampening=d["dampening"] or None)


def _adagrad(d: Arguments) -> Any:
    rate = inverse_time(d["lr"], d["lr_decay"]) if d["lr_decay"] else d["lr"]
    return jopt.adagrad(rate, d["initial_accumulator_value"], d["eps"], eps_in_sqrt=False)


def _adafactor(d: Arguments) -> Any:
    decay = d["lr"] * d["weight_decay"]
    moments = {"min_dim_size_to_factor": 1, "decay_rate": -d["beta2_decay"], "clipping_threshold": d["d"]}
    return jopt.adafactor(falling_rate(d["lr"]), **moments, weight_decay_rate=decay, min_scale=d["eps"][1])


RULES: dict[str, Callable[[Arguments], Any]] = {
    "Adadelta": lambda d: jopt.adadelta(d["lr"], d["rho"], d["eps"]),
    "Adagrad": _adagrad,
    "Adam": _adam,
    "AdamW": _adamw,
    "Adafactor": _adafactor,
    "Adamax": lambda d: jopt.adamax(d["lr"], *d["betas"], d["eps"]),
    "NAdam": _nadam,
    "RAdam": _radam,
    "RMSprop": _rmsprop,
    "Rprop": lambda d: jopt.rprop(d["lr"], *d["etas"], *d["step_sizes"]),
    "SGD": _sgd,
}

_SCHEDULES = {case.name: case for case in SCHEDULES}
# What PyTorch's own configurations leave out. "lr" may be the name of a schedule: the rate is then set before each step.
FURTHER: dict[str, dict[str, dict[str, Any]]] = {
    "Adagrad": {"eps and lr_decay": {"lr": 0.1, "lr_decay": 0.01, "eps": 1e-2}},
    "Adam": {
        "other numbers": {"lr": 1e-2, "betas": (0.8, 0.95), "eps": 1e-3},
        "amsgrad, a maximum that matters": {"lr": 1e-2, "betas": (0.9, 0.9), "amsgrad": True},
        "a rate that moves": {"lr": "warmup_cosine"},
    },
    "Adamax": {"a maximum that matters": {"lr": 1e-2, "betas": (0.8, 0.9), "eps": 1e-2}},
    "NAdam": {"Keras's momentum": {"lr": 1e-2, "momentum_decay": 1.0, "eps": 1e-3}, "a rate that moves": {"lr": "linear"}},
    "RAdam": {"other numbers": {"lr": 1e-2, "betas": (0.8, 0.95), "eps": 1e-3}},
    "RMSprop": {"momentum, a rate that moves": {"lr": "piecewise", "momentum": 0.9, "alpha": 0.9}},
    "Rprop": {"bounds that hold": {"lr": 1e-2, "etas": (0.7, 1.5), "step_sizes": (5e-3, 0.03)}},
    "SGD": {
        "nesterov, a rate that moves": {"lr": "cosine", "momentum": 0.9, "nesterov": True},
        "dampening, a rate that moves": {"lr": "piecewise", "momentum": 0.9, "dampening": 0.9},
    },
}


def jopts(name: str, defaults: Arguments) -> Any:
    """jopt's optimizer for a torch class and all its arguments."""
    d = {key: float(x) if hasattr(x, "item") else x for key, x in defaults.items()}  # a rate may be a tensor
    front = [jopt.scale(-1.0)] if d["maximize"] else []
    decoupled = d.get("decoupled_weight_decay", name == "Adafactor")
    front += [jopt.add_decayed_weights(d["weight_decay"])] if d.get("weight_decay") and not decoupled else []
    return jopt.chain(*front, RULES[name](d))


def torch_path(make: Callable[[Any], Any], rate: Callable[[int], Any] | None = None) -> Callable[[Any, Any], Any]:
    """What a torch optimizer makes of ``start()``; ``rate`` sets its learning rate before each step."""
    import torch

    def theirs(params: Any, grads: Any) -> Any:
        leaves, structure = jax.tree.flatten(params)
        weights = [torch.tensor(np.array(x), requires_grad=True) for x in leaves]
        optimizer, rows = make(weights), []
        for t, now in enumerate(zip(*jax.tree.leaves(grads), strict=True)):
            for group in optimizer.param_groups if rate else ():
                group["lr"] = float(rate(t))
            for weight, g in zip(weights, now, strict=True):
                weight.grad = torch.tensor(np.array(g))
            optimizer.step()
            rows.append([w.detach().numpy().copy() for w in weights])
        return structure.unflatten([np.stack(column) for column in zip(*rows, strict=True)])

    def in_float64(params: Any, grads: Any) -> Any:
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)  # NAdam keeps the product of its μ in this type
        try:
            return theirs(params, grads)
        finally:
            torch.set_default_dtype(before)

    return in_float64


def _installed() -> bool:
    return importlib.util.find_spec("torch") is not None


def _row(name: str, setting: str, arguments: dict[str, Any]) -> Row:
    import torch

    case = _SCHEDULES.get(arguments.get("lr"))
    rate = case.make("reference") if case else None
    given = {**arguments, "lr": rate(0) or 1e-3} if rate else arguments
    make = getattr(torch.optim, name)
    defaults = make([torch.zeros(1, requires_grad=True)], **given).defaults
    ours = jopts(name, {**defaults, "lr": case.make()} if case else defaults)
    optimizer = "amsgrad" if given.get("amsgrad") else name.lower()
    return Row(optimizer, "PyTorch", setting, lambda: largest(ours, torch_path(lambda w: make(w, **given), rate)))


def rows(name: str) -> list[Row]:
    """The rows of one class of torch.optim; none where torch is not installed."""
    if not _installed():
        return []
    inputs = next(info for info in _optim_db() if info.name == name).optim_inputs_func("cpu")
    settings = {case.desc: dict(case.kwargs) for case in inputs}
    assert len(settings) == len(inputs)
    return [_row(name, setting, arguments) for setting, arguments in {**settings, **FURTHER.get(name, {})}.items()]


@functools.cache
def _optim_db() -> Any:
    """The optimizers and configurations that PyTorch tests its own with."""
    if importlib.util.find_spec("expecttest") is None:  # a package of a base class for tests, none of which runs here
        sys.modules["expecttest"] = types.ModuleType("expecttest")
        sys.modules["expecttest"].TestCase = unittest.TestCase
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_optimizers import optim_db
    return optim_db


# What jopt has under another name or form than torch's class.
OTHER_FORMS = [
    # At a constant rate the lecture's momentum is torch's.
    ("SGD", {"lr": 0.1, "momentum": 0.9}, jopt.momentum(0.1, 0.9)),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}, jopt.momentum(0.1, 0.9, nesterov=True)),
    ("AdamW", {"lr": 1e-2, "weight_decay": 0.1}, jopt.adamw(1e-2, weight_decay=1e-3, decoupled=True)),
    ("AdamW", {"lr": 1e-2, "amsgrad": True, "weight_decay": 0.0}, jopt.amsgrad(1e-2, max_before_correction=True)),
    ("RMSprop", {"lr": 1e-2, "momentum": 0.9}, jopt.rmsprop(1e-2, decay=0.99, eps_in_sqrt=False, momentum=0.9)),
]


def other_forms() -> list[Row]:
    """Rows of what jopt writes otherwise; none where torch is not installed."""
    return [_beside(name, arguments, ours, repr(ours)) for name, arguments, ours in OTHER_FORMS] if _installed() else []


# Names that stand for more than one rule: where jopt's defaults are not torch's, and which arguments are.
ON_PURPOSE = {
    "Adagrad": (jopt.adagrad(1e-2), {}, "initial_accumulator_value=0.0, eps=1e-10, eps_in_sqrt=False are PyTorch's"),
    "Adam": (jopt.amsgrad(1e-2, b2=0.9), {"betas": (0.9, 0.9), "amsgrad": True}, "max_before_correction=True is PyTorch's"),
    "AdamW": (jopt.adamw(1e-2), {}, "weight_decay=0.01 is PyTorch's"),
    "NAdam": (jopt.nadam(1e-2), {}, "momentum_decay=0.004 is PyTorch's"),
    "RAdam": (jopt.radam(1e-2, eps=1e-3), {"eps": 1e-3}, "PyTorch's ε is a schedule, eps / √(1 − β₂ᵗ)"),
    "RMSprop": (jopt.rmsprop(1e-2), {}, "decay=0.99, eps_in_sqrt=False are PyTorch's"),
}


def on_purpose() -> list[Row]:
    """Rows of what differs where both libraries are called alike; none where torch is not installed."""
    if not _installed():
        return []
    return [
        _beside(name, {"lr": 1e-2, **arguments}, ours, "called alike", remark=remark, deliberate=True)
        for name, (ours, arguments, remark) in ON_PURPOSE.items()
    ]


def _beside(name: str, arguments: dict[str, Any], ours: Any, setting: str, **words: Any) -> Row:
    import torch

    theirs = torch_path(lambda weights: getattr(torch.optim, name)(weights, **arguments))
    return Row(ours.bound.spec.factory.name, "PyTorch", setting, lambda: largest(ours, theirs), **words)

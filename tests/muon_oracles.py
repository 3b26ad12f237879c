"""Rows of parity for Muon and NorMuon: PyTorch, muon-optimizer 0.1.0 (its author's), pytorch-optimizer 4.1.0, Optax.

All of the first three iterate in bfloat16, whatever the matrix is; here they are held from that.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import optax
import optax.contrib

import jopt
from tests.oracles import Row, largest, optax_path
from tests.torch_rules import torch_path

ADAM = {"adam_learning_rate": 3e-3, "adam_b1": 0.9, "adam_b2": 0.95, "adam_eps": 1e-10}
NUMBERS: dict[str, Any] = {"learning_rate": 0.02, "beta": 0.9, "weight_decay": 0.1, "adam_weight_decay": 0.05}
MATCHED = {"adjust": "match_rms_adamw", "nesterov": False}


class Both:
    """An optimizer for the matrices and another for the rest, stepped together."""

    def __init__(self, weights: Any, matrices: Callable[[Any], Any], others: Callable[[Any], Any]) -> None:
        self.parts = [matrices([w for w in weights if w.ndim > 1]), others([w for w in weights if w.ndim < 2])]

    def step(self) -> None:
        for part in self.parts:
            part.step()


@contextlib.contextmanager
def in_their_own_type() -> Iterator[None]:
    """No cast to bfloat16 inside of the iterations."""
    import torch

    with contextlib.ExitStack() as held:
        held.enter_context(mock.patch.object(torch.Tensor, "bfloat16", lambda tensor: tensor.clone()))
        if _has("pytorch_optimizer"):
            from pytorch_optimizer.optimizer.muon import normuon

            plain = normuon.zero_power_via_newton_schulz_5
            wide = mock.patch.object(
                normuon, "zero_power_via_newton_schulz_5", lambda g, **words: plain(g, **words, dtype=g.dtype)
            )
            held.enter_context(wide)
        yield


def by_pytorch(decay: float = 0.0, adam_decay: float = 0.0, **words: Any) -> Callable[[Any], Any]:
    import torch

    adam = {"lr": 3e-3, "betas": (0.9, 0.95), "eps": 1e-10, "weight_decay": adam_decay}
    return lambda weights: Both(
        weights,
        lambda matrices: torch.optim.Muon(matrices, **{"lr": 0.02, "weight_decay": decay, **words}),
        lambda others: torch.optim.AdamW(others, **adam),
    )


def in_groups(make: Callable[..., Any], common: dict[str, Any], adam_decay: float = 0.0, **words: Any) -> Callable[[Any], Any]:
    def grouped(weights: Any) -> Any:
        matrices, others = ([w for w in weights if (w.ndim > 1) is chosen] for chosen in (True, False))
        adam = {"lr": 3e-3, "betas": (0.9, 0.95), "eps": 1e-10, "weight_decay": adam_decay}
        groups = [{"params": matrices, "use_muon": True, **common}, {"params": others, "use_muon": False, **adam}]
        return make(groups, **words)

    return grouped


def _row(
    name: str,
    oracle: str,
    setting: str,
    ours: Any,
    make: Callable[[Any], Any],
    limit: float = 1e-10,
    remark: str = "",
    **words: Any,
) -> Row:
    def measure() -> float:
        with in_their_own_type():
            return largest(ours, torch_path(make))

    return Row(name, oracle, setting, measure, limit, remark, **words)


def of_pytorch() -> list[Row]:
    """``torch.optim.Muon`` beside AdamW."""
    if not _has("torch"):
        return []
    ours = {
        "plain": (jopt.muon(0.02, outputs="rows", **ADAM), by_pytorch()),
        "decay, other β": (jopt.muon(outputs="rows", **NUMBERS, **ADAM), by_pytorch(0.1, 0.05, momentum=0.9)),
        "match_rms_adamw, no nesterov": (
            jopt.muon(0.02, **MATCHED, **ADAM),
            by_pytorch(adjust_lr_fn="match_rms_adamw", nesterov=False),
        ),
        "other coefficients and steps": (
            jopt.muon(0.02, (1.5, -0.5, 0.0), 3, outputs="rows", **ADAM),
            by_pytorch(ns_coefficients=(1.5, -0.5, 0.0), ns_steps=3),
        ),
    }
    rows = [_row("muon", "PyTorch", setting, *pair) for setting, pair in ours.items()]
    meant = "weight_decay=0.1 is PyTorch's"
    called = jopt.muon(0.02, **ADAM), by_pytorch(0.1)
    return [*rows, _row("muon", "PyTorch", "called alike", *called, remark=meant, deliberate=True)]


def of_its_author() -> list[Row]:
    """``muon.SingleDeviceMuonWithAuxAdam``."""
    if not (_has("torch") and _has("muon")):
        return []
    import muon

    make = muon.SingleDeviceMuonWithAuxAdam
    plain = {"lr": 0.02, "momentum": 0.95, "weight_decay": 0.0}
    settings = {
        "plain": (jopt.muon(0.02, outputs="rows", **ADAM), in_groups(make, plain)),
        "decay, other β": (
            jopt.muon(outputs="rows", **NUMBERS, **ADAM),
            in_groups(make, {"lr": 0.02, "momentum": 0.9, "weight_decay": 0.1}, 0.05),
        ),
    }
    remark = "adds ε to the norm, of which it is the least value here"
    return [_row("muon", "muon-optimizer", setting, *pair, 1e-6, remark) for setting, pair in settings.items()]


def of_pytorch_optimizer() -> list[Row]:
    """``pytorch_optimizer.NorMuon``, which keeps the length of the orthogonal matrix as the authors' code."""
    if not (_has("torch") and _has("pytorch_optimizer")):
        return []
    from pytorch_optimizer import NorMuon

    plain = {"lr": 0.02}
    other = {"lr": 0.02, "momentum": 0.9, "beta2": 0.8, "weight_decay": 0.1}
    settings = {
        "plain": (jopt.normuon(0.02, outputs="rows", **ADAM), in_groups(NorMuon, plain, foreach=False)),
        "decay, other numbers": (
            jopt.normuon(b2=0.8, outputs="rows", **NUMBERS, **ADAM),
            in_groups(NorMuon, other, 0.05, foreach=False),
        ),
        "match_rms_adamw, no nesterov": (
            jopt.normuon(0.02, outputs="rows", **MATCHED, **ADAM),
            in_groups(NorMuon, {**plain, "use_adjusted_lr": True, "nesterov": False}, foreach=False),
        ),
    }
    rows = [_row("normuon", "pytorch-optimizer", setting, *pair) for setting, pair in settings.items()]
    exact = in_groups(NorMuon, {**plain, "update_scale": "match_rms"}, foreach=False)
    ours = jopt.normuon(0.02, outputs="rows", adjust="match_rms_adamw", **ADAM)
    meant = "the paper's Algorithm 1 sets the root mean square, its code keeps the length"
    return [*rows, _row("normuon", "pytorch-optimizer", "match_rms", ours, exact, remark=meant, deliberate=True)]


def of_optax() -> list[Row]:
    """``optax.contrib.muon``, whose rule is a composition here."""

    def as_optax(*parts: Any) -> Any:
        mean = jopt.ema(0.9, nesterov=True)
        matrices = jopt.chain(mean, jopt.orthogonalize(eps=1e-8), *parts, jopt.scale_by_learning_rate(0.02))
        return jopt.matrixwise(matrices, jopt.adamw(3e-3, nesterov=True, weight_decay=0.05))

    words = {"beta": 0.9, "adam_learning_rate": 3e-3, "adam_weight_decay": 0.05}
    pairs = {
        "as a composition, decay": (
            as_optax(jopt.scale_by_shape(outputs="columns"), jopt.add_decayed_weights(0.1)),
            optax.contrib.muon(0.02, weight_decay=0.1, **words),
        ),
        "as a composition, consistent_rms": (
            as_optax(jopt.scale_by_shape("match_rms_adamw", outputs="columns")),
            optax.contrib.muon(0.02, consistent_rms=0.2, **words),
        ),
    }
    rows = [
        Row("muon", "Optax", name, lambda a=a, b=b: largest(a, optax_path(b)), 1e-7, "adds ε to the norm")
        for name, (a, b) in pairs.items()
    ]
    meant = "divides the mean and the gradient by the sums of their weights, and has Nesterov's momentum in AdamW too"
    alike = Row("muon", "Optax", "called alike", _called_alike, remark=meant, deliberate=True)
    return [*rows, alike]


def _called_alike() -> float:
    return largest(jopt.muon(0.02), optax_path(optax.contrib.muon(0.02)))


def _has(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


SOURCES: dict[str, Callable[[], list[Row]]] = {
    "PyTorch Muon": of_pytorch,
    "muon-optimizer": of_its_author,
    "pytorch_optimizer NorMuon": of_pytorch_optimizer,
    "Optax Muon": of_optax,
}

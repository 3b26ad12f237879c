"""Rows of parity of SOAP, Shampoo and PSGD Kron with packages on top of PyTorch.

pytorch-optimizer 4.1.0 (SOAP as its authors' code but for a QR in float32; both Shampoos) and kron-torch 0.3.3
(its author's), whose draws are replaced by jopt's.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import itertools
import unittest.mock
import warnings
from collections.abc import Iterator
from typing import Any

import jopt
from tests.oracles import SHAPES, Row, largest
from tests.soap_reference import draws
from tests.torch_rules import torch_path

SOAP: list[tuple[Any, dict[str, Any], str]] = [
    (jopt.soap(1e-2, weight_decay=0.0), {"weight_decay": 0.0}, "no decay"),
    (jopt.soap(1e-2), {}, "plain"),
    (
        jopt.soap(1e-2, 0.9, 0.99, 0.8, 1e-3, 0.3, precondition_frequency=3),
        {"betas": (0.9, 0.99), "shampoo_beta": 0.8, "eps": 1e-3, "weight_decay": 0.3, "precondition_frequency": 3},
        "other numbers",
    ),
    (jopt.soap(1e-2, max_precond_dim=3), {"max_precondition_dim": 3}, "one side"),
    (
        jopt.soap(1e-2, eps=0.0, precondition_frequency=1, normalize_grads=True),
        {"eps": 0.0, "precondition_frequency": 1, "normalize_gradient": True},
        "new bases at each update, normalized",
    ),
]
GRAFTS = {1: jopt.identity(), 2: jopt.scale_by_rss(0.0, 1e-10, eps_in_sqrt=False), 4: jopt.scale_by_sign()}
KRON: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {}, "plain"),
    (
        {"b1": 0.8, "preconditioner_update_probability": 0.3, "precond_lr": 0.2, "precond_init_scale": 0.5, "seed": 3},
        {"b1": 0.8, "preconditioner_update_probability": 0.3, "precond_lr": 0.2, "precond_init_scale": 0.5},
        "other numbers",
    ),
    ({"memory_save_mode": "one_diag"}, {"memory_save_mode": "one_diag"}, "one diagonal"),
    (
        {"max_size_triangular": 3, "momentum_into_precond_update": False},
        {"max_size_triangular": 3, "momentum_into_precond_update": False},
        "long sides, factors moved by the gradient",
    ),
]


def rows() -> list[Row]:
    """The rows of the packages that are installed."""
    found = importlib.util.find_spec
    if found("torch") is None:
        return []
    with_po = _soap_rows() + _shampoo_rows() if found("pytorch_optimizer") else []
    return with_po + (_kron_rows() if found("kron_torch") else [])


def _soap_rows() -> list[Row]:
    def row(ours: Any, arguments: dict[str, Any], setting: str) -> Row:
        def make(weights: Any) -> Any:
            return importlib.import_module("pytorch_optimizer").SOAP(weights, lr=1e-2, **arguments)

        def measure() -> float:
            with _float64_throughout("pytorch_optimizer.optimizer.soap"):
                return largest(ours, torch_path(make))

        return Row("soap", "pytorch_optimizer", setting, measure)

    return [row(*entry) for entry in SOAP]


@contextlib.contextmanager
def _float64_throughout(module: str) -> Iterator[None]:
    """A module that casts to float32 casts to float64."""
    import torch

    class Wide:
        float32 = torch.float64

        def __getattr__(self, name: str) -> Any:
            return getattr(torch, name)

    with unittest.mock.patch.object(importlib.import_module(module), "torch", Wide()):
        yield


def _shampoo_rows() -> list[Row]:
    def paper(eps: float) -> Row:
        def make(weights: Any) -> Any:
            return importlib.import_module("pytorch_optimizer").Shampoo(weights, lr=1e-2, matrix_eps=eps)

        ours = jopt.chain(jopt.scale_by_shampoo(0.0, 1.0, eps, 1), jopt.scale(-1e-2))
        return Row("scale_by_shampoo", "pytorch_optimizer", f"the paper's, eps={eps}", lambda: largest(ours, torch_path(make)))

    def grafted(size: int, kind: int) -> Row:
        def make(weights: Any) -> Any:
            module = importlib.import_module("pytorch_optimizer")
            words = {"preconditioning_compute_steps": 1, "graft_type": kind, "block_size": size, "use_svd": True}
            words |= {"start_preconditioning_step": 1}
            made = module.ScalableShampoo(weights, lr=1e-2, shape_interpretation=False, **words)
            made.param_groups[0]["betas"] = (0.9, 1.0)  # sums, which its constructor refuses
            return made

        rule = jopt.scale_by_shampoo(0.0, 1.0, 1e-6, 1, block_size=size, graft=GRAFTS[kind])
        ours = jopt.chain(jopt.matrixwise(rule, GRAFTS[kind]), jopt.trace(0.9, nesterov=True), jopt.scale(-1e-2))
        setting = f"blocks of {size}, graft {kind}"
        return Row("scale_by_shampoo", "pytorch_optimizer", setting, lambda: largest(ours, torch_path(make)))

    return [paper(1e-2), paper(1e-6), grafted(512, 1), grafted(2, 2), grafted(3, 4)]


def _kron_rows() -> list[Row]:
    def row(words: dict[str, Any], arguments: dict[str, Any], setting: str) -> Row:
        def measure() -> float:
            ours = jopt.psgd_kron(1e-2, **words)
            chosen = words.get("preconditioner_update_probability", 1.0)
            with _draws_of_jopt(words.get("seed", 0), chosen):
                return largest(ours, torch_path(lambda weights: _kron(weights, words.get("seed", 0), arguments)))

        return Row("psgd_kron", "kron_torch", setting, measure)

    return [row(*entry) for entry in KRON]


def _kron(weights: Any, seed: int, arguments: dict[str, Any]) -> Any:
    import torch

    made = importlib.import_module("kron_torch").Kron(weights, lr=1e-2, precond_dtype=torch.float64, **arguments)
    steps = itertools.count(1)
    made.rng = unittest.mock.Mock(random=lambda: 0.0 if draws(seed, next(steps), 0, (1, 1))[0] else 1.0)
    return made


@contextlib.contextmanager
def _draws_of_jopt(seed: int, probability: float) -> Iterator[None]:
    """Its code as it is written, without a compiler, in float64, with jopt's draws, and with no noise in the update."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # its decorators are on their way out
        kron = importlib.import_module("kron_torch.kron")
    # The places of the leaves: matrices and vectors are counted apart.
    places = dict(zip([SHAPES["a"]["w"], SHAPES["b"][0], SHAPES["c"][0]], (0, 1, 2), strict=True))
    every = int(-(-1 // probability))
    moves = {shape: itertools.count(every, every) for shape in places}

    def drawn(like: Any) -> Any:
        shape = tuple(like.shape)
        matrix = shape if len(shape) == 2 else (*shape, 1)
        _, v = draws(seed, next(moves[shape]), places[shape], matrix)
        return torch.as_tensor(v.reshape(shape))

    inner = kron._calc_A_and_conjB
    with contextlib.ExitStack() as stack:
        stack.enter_context(unittest.mock.patch.object(torch, "randn_like", drawn))
        stack.enter_context(unittest.mock.patch.object(torch.Tensor, "float", lambda self: self))
        stack.enter_context(unittest.mock.patch.object(kron, "_calc_A_and_conjB", lambda e, g, q: inner(e, g.clone(), q)))
        stack.enter_context(unittest.mock.patch("builtins.print"))
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        yield

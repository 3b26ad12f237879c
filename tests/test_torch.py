"""torch.optim over 200 steps in float64, where the rule is the same.

Not the same: NAdam (Dozat's schedule of β₁), RMSprop's momentum with a rate that moves, AMSGrad, Rprop. The plateau is in
test_plateau.
"""

import numpy as np
import pytest

import jopt
from tests.cases import extras, run

torch = pytest.importorskip("torch")

STEPS = 200
optim = torch.optim

PAIRS = [
    ("sgd", jopt.sgd(0.1), optim.SGD, {"lr": 0.1}),
    ("sgd_momentum", jopt.sgd(0.1, 0.9), optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    (
        "sgd_nesterov",
        jopt.sgd(0.1, 0.8, nesterov=True),
        optim.SGD,
        {"lr": 0.1, "momentum": 0.8, "nesterov": True},
    ),
    # At a constant rate the lecture's form is the same rule.
    ("momentum", jopt.momentum(0.1, 0.9), optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    (
        "momentum_nesterov",
        jopt.momentum(0.1, 0.9, nesterov=True),
        optim.SGD,
        {"lr": 0.1, "momentum": 0.9, "nesterov": True},
    ),
    (
        "sgd_with_decay_in_the_gradient",
        jopt.chain(jopt.add_decayed_weights(0.05), jopt.sgd(0.1, 0.9)),
        optim.SGD,
        {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.05},
    ),
    ("adam", jopt.adam(1e-2), optim.Adam, {"lr": 1e-2}),
    (
        "adam_other_numbers",
        jopt.adam(1e-2, 0.8, 0.95, eps=1e-3),
        optim.Adam,
        {"lr": 1e-2, "betas": (0.8, 0.95), "eps": 1e-3},
    ),
    (
        "adam_with_decay_in_the_gradient",
        jopt.chain(jopt.add_decayed_weights(0.05), jopt.adam(1e-2)),
        optim.Adam,
        {"lr": 1e-2, "weight_decay": 0.05},
    ),
    (
        "adamw",
        jopt.adamw(1e-2, weight_decay=0.1),
        optim.AdamW,
        {"lr": 1e-2, "weight_decay": 0.1},
    ),
    (
        "adamw_decoupled",
        jopt.adamw(1e-2, weight_decay=1e-3, decoupled=True),
        optim.AdamW,
        {"lr": 1e-2, "weight_decay": 0.1},
    ),
    (
        "rmsprop",
        jopt.rmsprop(1e-2, decay=0.99, eps_in_sqrt=False),
        optim.RMSprop,
        {"lr": 1e-2},
    ),
    (
        "rmsprop_centered",
        jopt.rmsprop(1e-2, decay=0.9, eps_in_sqrt=False, centered=True),
        optim.RMSprop,
        {"lr": 1e-2, "alpha": 0.9, "centered": True},
    ),
    (
        "rmsprop_momentum",
        jopt.rmsprop(1e-2, decay=0.99, eps_in_sqrt=False, momentum=0.9),
        optim.RMSprop,
        {"lr": 1e-2, "momentum": 0.9},
    ),
]


@pytest.mark.parametrize(("opt", "factory", "settings"), [pair[1:] for pair in PAIRS], ids=[pair[0] for pair in PAIRS])
def test_200_steps_agree_with_torch_to_1e_12(opt, factory, settings, x64):
    rng = np.random.default_rng(0)
    start, grads = rng.normal(size=7), rng.normal(size=(STEPS, 7))
    weight = torch.tensor(start, requires_grad=True)
    optimizer = factory([weight], **settings)
    expected = []
    for g in grads:
        weight.grad = torch.tensor(g)
        optimizer.step()
        expected.append(weight.detach().numpy().copy())
    updates, _ = run(opt, start, grads, extras(STEPS))
    found, expected = start + np.cumsum(updates, axis=0), np.stack(expected)
    # Relative to the size of the parameters: single ones pass through 0.
    assert np.max(np.abs(found - expected)) / np.max(np.abs(expected)) < 1e-12

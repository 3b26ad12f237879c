"""The values that stand where nobody gives any: Optax's, and where Optax has no such argument, those written down here."""

import inspect

import optax
import optax.contrib
import pytest

import jopt
from jopt import optimizers, transforms

# What jopt means by them is what Optax does by default, or a docstring says why not.
OTHERS = {
    "muon": {"ns_coeffs", "eps"},
    "scale_by_muon": {"ns_coeffs", "eps"},
    "scale_by_ademamix": {"alpha"},
    "adadelta": {"learning_rate"},
    "adafactor": {"dtype_momentum"},
    "scale_by_factored_rms": {"decay_rate_fn"},
}
OWN = {
    "accumulate": {"reduction": "mean"},
    "adadelta": {"learning_rate": 1.0},
    "adafactor": {"dtype_momentum": None, "min_scale": 1e-3},
    "adagrad": {"eps_in_sqrt": True},
    "aggmo": {"betas": (0.0, 0.9, 0.99)},
    "matrixwise": {"columns": 1, "stacked": 0, "mask": None},
    "momentum": {"momentum": 0.9, "nesterov": False},
    "partition": {"param_labels": None},
    "qhadam": {"b1": 0.995, "b2": 0.999, "nu1": 0.7, "nu2": 1.0, "eps": 1e-8},
    "qhm": {"momentum": 0.999, "nu": 0.7},
    "reduce_on_plateau": {"min_lr": 0.0, "mode": "min", "monitor": None},
    "rmsprop": {"rate_inside": True},
    "scale_by_adan": {"look_ahead": None},
    "scale_by_aggmo": {"betas": (0.0, 0.9, 0.99)},
    "scale_by_factored_rms": {"decay_rate_fn": None},
    "scale_by_nadam": {"b1": 0.9, "b2": 0.999, "eps": 1e-8, "eps_root": 0.0, "mu_dtype": None, "momentum_decay": 0.004},
    "scale_by_qhadam": {"b1": 0.995, "b2": 0.999, "nu1": 0.7, "nu2": 1.0, "eps": 1e-8},
    "scale_by_qhm": {"momentum": 0.999, "nu": 0.7},
    "scale_by_rss": {"eps_in_sqrt": True},
}
_ADAM = {"adam_b1": 0.9, "adam_b2": 0.999, "adam_eps": 1e-8, "adam_eps_root": 0.0, "adam_weight_decay": 0.0}
_MATRICES = {"columns": 1, "stacked": 0}
_NEWTON_SCHULZ = {"ns_coeffs": "standard", "ns_steps": 5, "eps": 1e-7}
_SHAPE = {"adjust": "original", "outputs": "rows"}
_SOAP = {"b1": 0.95, "b2": 0.95, "eps": 1e-8, "precondition_frequency": 10, "max_precond_dim": 10000, "normalize_grads": False}
_SHAMPOO = {"b1": 0.9, "b2": 0.999, "eps": 1e-12, "precondition_frequency": 10, "block_size": 1024}
_KRON = {"b1": 0.9, "precond_lr": 0.1, "precond_init_scale": 1.0, "max_size_triangular": 8192, "seed": 0}
_KRON |= {"momentum_into_precond_update": True}
_MARS = {"b1": 0.95, "gamma": 0.025, "max_norm": 1.0}
OWN |= {
    "bfloat16_states": {"seed": 0},
    "correct_by_mars": _MARS,
    "ema": {"nesterov": False},
    "mars": {**_MARS, "b2": 0.99, "eps": 1e-8, "weight_decay": 0.0, "optimize_1d": False}
    | {"b1_1d": 0.9, "b2_1d": 0.95, "weight_decay_1d": 0.1},
    "muon": {**_NEWTON_SCHULZ, **_SHAPE, **_MATRICES, "adam_eps": 1e-8},
    "normalize_neurons": {"b2": 0.95, "eps": 1e-10, "outputs": "rows"},
    "normuon": {
        **_NEWTON_SCHULZ,
        **_SHAPE,
        **_MATRICES,
        **_ADAM,
        "beta": 0.95,
        "b2": 0.95,
        "weight_decay": 0.0,
        "nesterov": True,
    },
    "orthogonalize": _NEWTON_SCHULZ,
    "parameter_ema": {"decay": 0.999, "debias": True},
    "prodigy": {"bias_correction": False},
    "psgd_kron": {**_KRON, **_MATRICES, "weight_decay": 0.0},
    "scale_by_ademamix": {"alpha": 5.0},
    "scale_by_kron": {**_KRON, "vectors": False},
    "scale_by_muon": _NEWTON_SCHULZ,
    "scale_by_shampoo": _SHAMPOO,
    "scale_by_shape": _SHAPE,
    "scale_by_soap": _SOAP,
    "shampoo": {**_SHAMPOO, **_MATRICES, "weight_decay": 0.0, "graft": "adam", "adam_b2": 0.999, "adam_eps": 1e-8},
    "soap": {**_SOAP, **_MATRICES, "weight_decay": 0.01},
    "stochastic_rounding": {"seed": 0},
    "tail_average": {"start": 0},
}
# What several have that Optax has not, the same in each.
SHARED = {"weight_decay": None, "mask": None, "decoupled": False, "dampening": None, "momentum_decay": None}
SHARED |= {"max_before_correction": False}


def defaults(factory):
    parameters = inspect.signature(factory).parameters
    return {name: p.default for name, p in parameters.items() if p.default is not p.empty}


NAMES = sorted({*optimizers.__all__, *transforms.__all__})


@pytest.mark.parametrize("name", [name for name in NAMES if callable(getattr(jopt, name)) and name[0].islower()])
def test_what_nobody_gives_is_what_optax_takes_or_the_papers(name):
    ours = defaults(getattr(jopt, name))
    theirs = getattr(optax, name, getattr(optax.contrib, name, None))
    known = {n: x for n, x in (defaults(theirs) if theirs else {}).items() if n not in OTHERS.get(name, ())}
    expected = {n: known.get(n, OWN.get(name, {}).get(n, SHARED.get(n))) for n in ours}
    assert ours == expected

"""Loops in NumPy, float64, as those of ``reference.py``: Muon and NorMuon, from singular values in place of matrix products."""

import math

import numpy as np

from tests.modern_reference import ema
from tests.reference import adamw, at, each_leaf

JORDAN = (3.4445, -4.7750, 2.0315)
# The first steps; tests/test_muon.py works them out.
POLAR_EXPRESS = (
    (8.237312490495555, -23.157747414558184, 16.6805684114459),
    (4.082441999064838, -2.8930477353325887, 0.525284925697565),
    (3.9263479922546516, -2.8547468034765267, 0.5318022422894985),
)
INPUTS = {"columns": -2, "rows": -1}


def orthogonal(x, ns_coeffs="standard", ns_steps=5, eps=1e-7, ns_dtype=None):
    """A matrix, or each of a stack, with its singular values put through the polynomials."""
    u, s, v = np.linalg.svd(x, full_matrices=False)
    length = np.sqrt(np.sum(s**2, axis=-1, keepdims=True))
    s = s / np.maximum(length * (1.01 if ns_coeffs == "polar_express" else 1.0), eps)
    steps = {"standard": [JORDAN], "polar_express": POLAR_EXPRESS}.get(ns_coeffs) or np.atleast_2d(ns_coeffs)
    for i in range(int(ns_steps)):
        a, b, c = steps[min(i, len(steps) - 1)]
        s = a * s + b * s**3 + c * s**5
    return (u * s[..., None, :]) @ v


def shaped(x, adjust="original", outputs="rows"):
    inputs, count = x.shape[INPUTS[outputs]], x.shape[-3 - INPUTS[outputs]]
    return x * (math.sqrt(max(1.0, count / inputs)) if adjust == "original" else 0.2 * math.sqrt(max(inputs, count)))


def of_neurons(b2=0.95, eps=1e-10, outputs="rows"):
    v = 0.0

    def step(t, x):
        nonlocal v
        keep, tiny = at(b2, t), at(eps, t)
        v = keep * v + (1 - keep) * np.mean(np.abs(x) ** 2, axis=INPUTS[outputs], keepdims=True)
        r = x / (np.sqrt(v) + tiny)
        return r * lengths(x) / (lengths(r) + tiny)

    return step


def lengths(x):
    """The norm of each matrix of a stack."""
    return np.sqrt(np.sum(np.abs(x) ** 2, axis=(-2, -1), keepdims=True))


def _of_matrices(rule):
    """A loop of trees, of which the other leaves stay as they are."""

    @each_leaf
    def of_trees(**hyperparams):
        loop = rule(**hyperparams)
        return lambda t, g, p, seen: loop(t, g) if g.ndim > 1 and g.size else g

    return of_trees


@_of_matrices
def orthogonalize(eps=1e-7, **words):
    return lambda t, g: orthogonal(g, eps=at(eps, t), **words)


@_of_matrices
def scale_by_shape(**words):
    return lambda t, g: shaped(g, **words)


@_of_matrices
def normalize_neurons(**words):
    return of_neurons(**words)


@_of_matrices
def scale_by_muon(beta=0.95, eps=1e-7, mu_dtype=None, nesterov=True, **words):
    mean = ema(decay=beta, debias=False, nesterov=nesterov)
    return lambda t, g: orthogonal(mean(t, g, g, None), eps=at(eps, t), **words)


def _beside_adamw(
    direction,
    learning_rate,
    weight_decay=0.0,
    weight_decay_mask=None,
    decoupled=False,
    adam_learning_rate=None,
    adam_weight_decay=0.0,
    columns=1,
    stacked=0,
    matrices=True,
    **words,
):
    adam = {name.removeprefix("adam_"): words.pop(name) for name in [*words] if name.startswith("adam_")}
    rate, chosen = (learning_rate if adam_learning_rate is None else adam_learning_rate), weight_decay_mask
    other = adamw(learning_rate=rate, weight_decay=adam_weight_decay, mask=chosen, decoupled=decoupled, **adam)
    loop = direction(**words)

    def step(t, g, p, seen):
        first, stack = g.ndim - int(columns), int(stacked)
        if not matrices or g.ndim - stack < 2 or not g.size:
            return other(t, g, p, seen)
        d = loop(t, g.reshape(*g.shape[:stack], math.prod(g.shape[stack:first]), -1)).reshape(g.shape)
        alpha, decay = at(learning_rate, t), (1.0 if chosen is None else chosen) * at(weight_decay, t) * p
        return -alpha * d - decay if decoupled else -alpha * (d + decay)

    return step


@each_leaf
def muon(adjust="original", outputs="rows", **words):
    def direction(**numbers):
        loop = scale_by_muon(**numbers)
        return lambda t, g: shaped(loop(t, g, g, None), adjust, outputs)

    return _beside_adamw(direction, **words)


@each_leaf
def normuon(adjust="original", outputs="rows", b2=0.95, **words):
    def direction(**numbers):
        loop, neurons = scale_by_muon(**numbers), of_neurons(b2, outputs=outputs)
        return lambda t, g: shaped(neurons(t, loop(t, g, g, None)), adjust, outputs)

    return _beside_adamw(direction, **words)

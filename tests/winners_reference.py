"""More loops in NumPy, float64: AdEMAMix, MARS, Prodigy, Schedule-Free, hyperball, cautious decay, averages of parameters.

Each is written from the equations of its paper, or of its authors' code. Those that look at several leaves together, or go
around another loop, are given trees.
"""

import jax
import numpy as np

from tests.modern_reference import _descent, norm
from tests.reference import at, each_leaf, ravel, scale_by_adam


@each_leaf
def add_cautious_weight_decay(weight_decay, mask=None):
    chosen = 1.0 if mask is None else mask
    return lambda t, g, p, seen: g + chosen * at(weight_decay, t) * np.where(np.real(g * np.conj(p)) >= 0, p, 0.0)


@each_leaf
def scale_by_ademamix(b1=0.9, b2=0.999, b3=0.9999, alpha=5.0, eps=1e-8, eps_root=0.0, mu_dtype=None, warmup_steps=None):
    m1 = m2 = v = 0.0

    def step(t, g, p, seen):
        nonlocal m1, m2, v
        beta1, beta2, beta3, weight = at(b1, t), at(b2, t), at(b3, t), at(alpha, t)
        if warmup_steps is not None and t < at(warmup_steps, t):
            part = t / at(warmup_steps, t)
            half_lives = [np.log(0.5) / np.log(beta) - 1 if beta else -1.0 for beta in (beta1, beta3)]
            beta3 = 0.5 ** (1 / ((1 - part) * half_lives[0] + part * half_lives[1] + 1))
            weight = part * weight
        m1 = beta1 * m1 + (1 - beta1) * g
        m2 = beta3 * m2 + (1 - beta3) * g
        v = beta2 * v + (1 - beta2) * np.abs(g) ** 2
        return (m1 / (1 - beta1**t) + weight * m2) / (np.sqrt(v / (1 - beta2**t) + at(eps_root, t)) + at(eps, t))

    return step


ademamix = _descent(scale_by_ademamix)


@each_leaf
def correct_by_mars(b1=0.95, gamma=0.025, max_norm=1.0):
    before = 0.0

    def step(t, g, p, seen):
        nonlocal before
        beta = at(b1, t)
        c = g + at(gamma, t) * beta / (1 - beta) * (g - before)
        before = g
        return c / max(1.0, norm(c) / at(max_norm, t))

    return step


def _mars_direction(b1=0.95, b2=0.99, eps=1e-8, gamma=0.025, max_norm=1.0):
    corrected, adam = correct_by_mars(b1=b1, gamma=gamma, max_norm=max_norm), scale_by_adam(b1=b1, b2=b2, eps=eps)
    return lambda t, g, p, seen: adam(t, corrected(t, g, p, seen), p, seen)


def mars(
    optimize_1d=False,
    learning_rate_1d=None,
    b1_1d=0.9,
    b2_1d=0.95,
    weight_decay_1d=0.1,
    **words,
):
    other = {"weight_decay": weight_decay_1d, "b1": b1_1d, "b2": b2_1d}
    other |= {key: words[key] for key in ("learning_rate", "eps", "mask", "decoupled") if key in words}
    if learning_rate_1d is not None:
        other["learning_rate"] = learning_rate_1d
    matrices, others = _descent(_mars_direction)(**words), _descent(scale_by_adam)(**other)

    def step(t, g, p, seen):
        one, two = matrices(t, g, p, seen), others(t, g, p, seen)
        return jax.tree.map(lambda x, y: x if optimize_1d or np.ndim(x) == 2 else y, one, two)

    return step


def prodigy(
    learning_rate=1.0,
    betas=(0.9, 0.999),
    beta3=None,
    eps=1e-8,
    estim_lr0=1e-6,
    estim_lr_coef=1.0,
    weight_decay=0.0,
    safeguard_warmup=False,
    bias_correction=False,
):
    b1, b2 = betas
    b3 = np.sqrt(b2) if beta3 is None else beta3
    begun = {}

    def step(t, g, p, seen):
        flat, w = ravel(g), ravel(p)
        if t == 1:
            begun.update(w0=w, m=0 * flat, v=0.0, s=0 * flat, r=0.0, d=estim_lr0)
        if at(learning_rate, t) == 0:
            return _like(0 * flat, g)
        d = begun["d"]
        a = d * at(learning_rate, t) * (np.sqrt(1 - b2**t) / (1 - b1**t) if bias_correction else 1.0)
        begun["m"] = b1 * begun["m"] + (1 - b1) * d * flat
        begun["v"] = b2 * begun["v"] + (1 - b2) * np.abs(d * flat) ** 2
        begun["r"] = b3 * begun["r"] + d / estim_lr0 * a * np.real(np.vdot(flat, begun["w0"] - w))
        begun["s"] = b3 * begun["s"] + d / estim_lr0 * (d if safeguard_warmup else a) * flat
        length = np.sum(np.abs(begun["s"]))
        if length > 0:
            begun["d"] = max(d, estim_lr_coef * begun["r"] / length)
        u = -a * (begun["m"] / (np.sqrt(begun["v"]) + begun["d"] * eps) + at(weight_decay, t) * w)
        return _like(u, g)

    return step


def _like(flat, tree):
    """A vector as a tree of the shapes of another."""
    leaves, structure = jax.tree.flatten(tree)
    ends = np.cumsum([np.size(x) for x in leaves])[:-1]
    return structure.unflatten([part.reshape(np.shape(x)) for part, x in zip(np.split(flat, ends), leaves, strict=True)])


def schedule_free(base_optimizer, learning_rate, b1=0.9, weight_lr_power=2.0, state_dtype=None):
    known = {}

    def step(t, g, p, seen):
        if t == 1:
            known.update(z=p, x=p, most=0.0, weights=0.0)
        u = base_optimizer(t, g, p, seen)
        known["most"] = max(known["most"], at(learning_rate, t))
        weight = known["most"] ** weight_lr_power
        known["weights"] += weight
        c = weight / known["weights"] if known["weights"] else 0.0
        z = jax.tree.map(lambda z, u: z + u, known["z"], u)
        x = jax.tree.map(lambda x, z: (1 - c) * x + c * z, known["x"], z)
        known.update(z=z, x=x)
        beta = at(b1, t)
        return jax.tree.map(lambda x, z, y: (1 - beta) * z + beta * x - y, x, z, p)

    return step


def _warmed(learning_rate, warmup_steps):
    steps = 1.0 if warmup_steps is None else warmup_steps
    return lambda count: at(learning_rate, count + 1) * min(1.0, (count + 1) / steps)


def schedule_free_sgd(learning_rate=1.0, warmup_steps=None, b1=0.9, weight_decay=0.0, weight_lr_power=2.0, state_dtype=None):
    rate = _warmed(learning_rate, warmup_steps)
    base = _descent(lambda: lambda t, g, p, seen: g)(learning_rate=rate, weight_decay=weight_decay)
    return schedule_free(base, rate, b1, weight_lr_power)


@each_leaf
def _of_squares(b2, eps):
    v = 0.0

    def step(t, g, p, seen):
        nonlocal v
        v = b2 * v + (1 - b2) * np.abs(g) ** 2
        return g / (np.sqrt(v / (1 - b2**t)) + eps)

    return step


def schedule_free_adamw(
    learning_rate=0.0025,
    warmup_steps=None,
    b1=0.9,
    b2=0.999,
    eps=1e-8,
    weight_decay=0.0,
    weight_lr_power=2.0,
    state_dtype=None,
):
    rate = _warmed(learning_rate, warmup_steps)
    scaled = _of_squares(b2=b2, eps=eps)

    def base(t, g, p, seen):
        return jax.tree.map(lambda d, w: -at(rate, t) * (d + at(weight_decay, t) * w), scaled(t, g, p, seen), p)

    return schedule_free(base, rate, b1, weight_lr_power)


def hyperball(optimizer, learning_rate, mask=None):
    radii = []

    def turn(t, i, s, w, turned):
        if not turned:
            return s
        if norm(s) == 0 or radii[i] == 0:
            return 0 * s
        aim = w + at(learning_rate, t) * radii[i] * s / norm(s)
        return radii[i] * aim / norm(aim) - w

    def step(t, g, p, seen):
        steps = optimizer(t, g, p, seen)
        (leaves, structure), weights = jax.tree.flatten(steps), jax.tree.leaves(p)
        if t == 1:
            radii[:] = [norm(w) for w in weights]
        turned = [np.ndim(w) > 1 for w in weights]
        if mask is not None:
            spread = jax.tree.map(lambda chosen, branch: jax.tree.map(lambda _: chosen, branch), mask, p)
            turned = jax.tree.leaves(spread)
        each = zip(range(len(leaves)), leaves, weights, turned, strict=True)
        return structure.unflatten([turn(t, *row) for row in each])

    return step


def parameter_ema(optimizer, decay=0.999, debias=True, accumulator_dtype=None):
    return optimizer


def tail_average(optimizer, start=0, accumulator_dtype=None):
    return optimizer

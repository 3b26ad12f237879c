"""The rules as loops in NumPy, float64, written from their equations.

A rule is a function of its hyperparameters that returns ``step(t, g, p, seen) -> u``: the updates at step t = 1, 2, ...
for the gradients g and the parameters p, trees of arrays of one structure. A hyperparameter is a number or a function of
t - 1 (a schedule), or a dict of these that is a prefix of the tree. ``seen`` holds the extra arguments of the update.
Most rules treat one array at a time: ``@each_leaf`` makes a rule of trees of such a loop.
"""

import fractions
import functools
import math

import jax
import numpy as np


def at(x, t):
    """The hyperparameter at update t; schedules start at 0."""
    return x(t - 1) if callable(x) else x


def ravel(tree):
    """All leaves of a tree as one float64 (or complex128) vector."""
    leaves = [np.asarray(x) for x in jax.tree.leaves(tree)]
    wide = np.complex128 if any(map(np.iscomplexobj, leaves)) else np.float64
    return np.concatenate([np.zeros(0, wide), *(np.ravel(x).astype(wide) for x in leaves)])


def each_leaf(rule):
    """A rule of trees from one of arrays, which is begun for each leaf with the leaf's own numbers."""

    @functools.wraps(rule)
    def of_trees(**hyperparams):
        loops = []

        def step(t, g, p, seen):
            leaves, structure = jax.tree.flatten(g)
            if t == 1:
                spread = {name: _per_leaf(name, value, p) for name, value in hyperparams.items()}
                loops[:] = [rule(**{name: values[i] for name, values in spread.items()}) for i in range(len(leaves))]
            updates = [loop(t, *row, seen) for loop, *row in zip(loops, leaves, jax.tree.leaves(p), strict=True)]
            return structure.unflatten(updates)

        return step

    return of_trees


def _per_leaf(name, value, tree):
    value = value(tree) if name.endswith("mask") and callable(value) else value
    if not isinstance(value, dict):
        return [value] * len(jax.tree.leaves(tree))
    return jax.tree.leaves(jax.tree.map(lambda x, branch: jax.tree.map(lambda _: x, branch), value, tree))


# Building blocks


def identity():
    return lambda t, g, p, seen: g


@each_leaf
def scale(step_size):
    return lambda t, g, p, seen: at(step_size, t) * g


@each_leaf
def scale_by_learning_rate(learning_rate, flip_sign=True):
    return lambda t, g, p, seen: (-1 if flip_sign else 1) * at(learning_rate, t) * g


@each_leaf
def scale_by_schedule(step_size_fn):
    return lambda t, g, p, seen: step_size_fn(t - 1) * g


@each_leaf
def clip(max_delta):
    return lambda t, g, p, seen: np.minimum(np.maximum(g, -at(max_delta, t)), at(max_delta, t))


def clip_by_global_norm(max_norm):
    def step(t, g, p, seen):
        bound, norm = at(max_norm, t), math.sqrt(np.sum(np.abs(ravel(g)) ** 2))
        return g if norm <= bound else jax.tree.map(lambda x: x * bound / norm, g)

    return step


@each_leaf
def add_decayed_weights(weight_decay=0.0, mask=None):
    chosen = 1.0 if mask is None else mask
    return lambda t, g, p, seen: g + chosen * at(weight_decay, t) * p


@each_leaf
def trace(decay, nesterov=False, accumulator_dtype=None, dampening=None):
    m = 0.0

    def step(t, g, p, seen):
        nonlocal m
        mu, tau = at(decay, t), 0.0 if dampening is None or t == 1 else at(dampening, t)
        m = mu * m + (1 - tau) * g
        return g + mu * m if nesterov else m

    return step


@each_leaf
def scale_by_adam(b1=0.9, b2=0.999, eps=1e-8, eps_root=0.0, mu_dtype=None, nesterov=False):
    m = v = 0.0

    def step(t, g, p, seen):
        nonlocal m, v
        beta1, beta2 = at(b1, t), at(b2, t)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * np.abs(g) ** 2
        m_hat = m / (1 - beta1**t)
        if nesterov:
            m_hat = beta1 * m / (1 - beta1 ** (t + 1)) + (1 - beta1) * g / (1 - beta1**t)
        v_hat = v / (1 - beta2**t)
        return m_hat / (np.sqrt(v_hat + at(eps_root, t)) + at(eps, t))

    return step


@each_leaf
def scale_by_nadam(b1=0.9, b2=0.999, eps=1e-8, eps_root=0.0, mu_dtype=None, momentum_decay=0.004):
    m = v = 0.0
    product = 1.0

    def mu(t):
        return b1 * (1 - 0.5 * 0.96 ** (t * momentum_decay))

    def step(t, g, p, seen):
        nonlocal m, v, product
        product = product * mu(t)
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * np.abs(g) ** 2
        m_hat = mu(t + 1) * m / (1 - product * mu(t + 1)) + (1 - mu(t)) * g / (1 - product)
        return m_hat / (np.sqrt(v / (1 - b2**t) + eps_root) + eps)

    return step


@each_leaf
def scale_by_amsgrad(
    b1=0.9,
    b2=0.999,
    eps=1e-8,
    eps_root=0.0,
    mu_dtype=None,
    bias_correction_mu=True,
    bias_correction_nu=True,
    max_before_correction=False,
):
    m = v = largest = 0.0

    def step(t, g, p, seen):
        nonlocal m, v, largest
        beta1, beta2 = at(b1, t), at(b2, t)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * np.abs(g) ** 2
        m_hat = m / (1 - beta1**t) if bias_correction_mu else m
        correction = 1 - beta2**t if bias_correction_nu else 1.0
        if max_before_correction:
            largest = np.maximum(largest, v)
            v_hat = largest / correction
        else:
            v_hat = largest = np.maximum(largest, v / correction)
        return m_hat / (np.sqrt(v_hat + at(eps_root, t)) + at(eps, t))

    return step


@each_leaf
def scale_by_adamax(b1=0.9, b2=0.999, eps=1e-8):
    m = u = 0.0

    def step(t, g, p, seen):
        nonlocal m, u
        beta1, beta2 = at(b1, t), at(b2, t)
        m = beta1 * m + (1 - beta1) * g
        u = np.maximum(beta2 * u, np.abs(g) + at(eps, t))
        return m / (1 - beta1**t) / u

    return step


@each_leaf
def scale_by_radam(b1=0.9, b2=0.999, eps=1e-8, eps_root=0.0, threshold=5.0, nesterov=False):
    m = v = 0.0

    def step(t, g, p, seen):
        nonlocal m, v
        beta1, beta2 = at(b1, t), at(b2, t)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * np.abs(g) ** 2
        m_hat = m / (1 - beta1**t)
        if nesterov:
            m_hat = beta1 * m / (1 - beta1 ** (t + 1)) + (1 - beta1) * g / (1 - beta1**t)
        # Exact: in float64 the difference loses five digits at the first steps.
        b = fractions.Fraction(float(beta2))
        end = 2 / (1 - b) - 1
        rho = end - 2 * t * b**t / (1 - b**t)
        if rho < threshold or rho <= 4:
            return m_hat
        r = math.sqrt((rho - 4) * (rho - 2) * end / ((end - 4) * (end - 2) * rho))
        return r * m_hat / (np.sqrt(v / (1 - beta2**t) + at(eps_root, t)) + at(eps, t))

    return step


@each_leaf
def scale_by_rms(decay=0.9, eps=1e-8, initial_scale=0.0, eps_in_sqrt=True, bias_correction=False, centered=False):
    m, s = 0.0, initial_scale

    def step(t, g, p, seen):
        nonlocal m, s
        beta, epsilon = at(decay, t), at(eps, t)
        m = beta * m + (1 - beta) * g
        s = beta * s + (1 - beta) * np.abs(g) ** 2
        c = 1 - beta**t if bias_correction else 1.0
        variance = np.maximum(s / c - np.abs(m / c) ** 2, 0.0) if centered else s / c
        return g / (np.sqrt(variance + epsilon) if eps_in_sqrt else np.sqrt(variance) + epsilon)

    return step


def scale_by_stddev(**hyperparams):
    return scale_by_rms(centered=True, **hyperparams)


@each_leaf
def scale_by_rss(initial_accumulator_value=0.1, eps=1e-7, eps_in_sqrt=True):
    total = initial_accumulator_value

    def step(t, g, p, seen):
        nonlocal total
        total = total + np.abs(g) ** 2
        return g / (np.sqrt(total + at(eps, t)) if eps_in_sqrt else np.sqrt(total) + at(eps, t))

    return step


@each_leaf
def scale_by_adadelta(rho=0.9, eps=1e-6):
    e_g = e_x = 0.0

    def step(t, g, p, seen):
        nonlocal e_g, e_x
        keep, epsilon = at(rho, t), at(eps, t)
        e_g = keep * e_g + (1 - keep) * np.abs(g) ** 2
        x = np.sqrt(e_x + epsilon) / np.sqrt(e_g + epsilon) * g
        e_x = keep * e_x + (1 - keep) * np.abs(x) ** 2
        return x

    return step


@each_leaf
def scale_by_rprop(learning_rate, eta_minus=0.5, eta_plus=1.2, min_step_size=1e-6, max_step_size=50.0):
    size = before = None

    def step(t, g, p, seen):
        nonlocal size, before
        if t == 1:
            size, before = np.full(np.shape(g), learning_rate), np.zeros(np.shape(g))
        same, turned = g * before > 0, g * before < 0
        size = np.where(same, np.clip(eta_plus * size, min_step_size, max_step_size), size)
        size = np.where(turned, np.clip(eta_minus * size, min_step_size, max_step_size), size)
        before = np.where(turned, 0.0, g)
        return size * np.sign(before)

    return step


def reduce_on_plateau(
    factor=0.1,
    patience=10,
    rtol=1e-4,
    atol=0.0,
    cooldown=0,
    min_lr=0.0,
    mode="min",
    monitor=None,
    learning_rate=1.0,
):
    """As the documentation of PyTorch's ReduceLROnPlateau describes it, for metrics of any sign."""
    rate, best, bad, cooling = learning_rate, math.inf, 0, 0

    def observe(x):
        nonlocal rate, best, bad, cooling
        enough = best if math.isinf(best) else best - rtol * abs(best) - atol
        best, bad = (x, 0) if x < enough else (best, bad + 1)
        if cooling > 0:
            cooling, bad = cooling - 1, 0
        if bad > patience:
            rate, cooling, bad = max(rate * factor, min(min_lr, rate)), cooldown, 0

    def step(t, g, p, seen):
        if monitor is None or seen["evaluated"]:
            x = float(seen["metrics"][monitor] if monitor else seen["value"])
            observe(x if mode == "min" else -x)
        return jax.tree.map(lambda x: x * (rate / learning_rate), g)

    return step


def chain(*steps):
    def step(t, g, p, seen):
        for part in steps:
            g = part(t, g, p, seen)
        return g

    return step


named_chain = chain


def flatten(inner):
    def step(t, g, p, seen):
        leaves, structure = jax.tree.flatten(g)
        joined = inner(t, ravel(g), ravel(p), seen)
        ends = np.cumsum([x.size for x in leaves])
        parts = np.split(joined, ends[:-1]) if leaves else []
        return structure.unflatten([part.reshape(x.shape) for part, x in zip(parts, leaves, strict=True)])

    return step


# Around other rules. The inner loop sees the whole tree: right for rules that treat one leaf at a time.


def set_to_zero():
    return lambda t, g, p, seen: jax.tree.map(lambda x: 0 * x, g)


def masked(inner, mask):
    return partition(identity(), inner, param_labels=mask)


def freeze(mask):
    return masked(set_to_zero(), mask)


def partition(*parts, param_labels):
    """Each leaf is that of the part whose position is its label; a mask is labels 0 and 1."""

    def step(t, g, p, seen):
        structure = jax.tree.structure(g)
        updates = [jax.tree.leaves(part(t, g, p, seen)) for part in parts]
        labels = _per_leaf("mask", param_labels, p)
        return structure.unflatten([updates[int(label)][i] for i, label in enumerate(labels)])

    return step


def matrixwise(matrix_rule, other, mask):
    return partition(other, matrix_rule, param_labels=mask)


def apply_if_finite(inner, max_consecutive_errors):  # the gradients of the table are finite
    return inner


def accumulate(optimizer, every, reduction="mean"):
    window, updates = [], 0

    def step(t, g, p, seen):
        nonlocal window, updates
        window.append(g)
        if len(window) < every:
            return jax.tree.map(lambda x: 0 * x, g)
        count = len(window) if reduction == "mean" else 1
        whole = jax.tree.map(lambda *xs: sum(xs) / count, *window)
        window, updates = [], updates + 1
        return optimizer(updates, whole, p, seen)

    return step


# Optimizers


@each_leaf
def sgd(learning_rate, momentum=None, nesterov=False, accumulator_dtype=None, dampening=None):
    m = 0.0

    def step(t, g, p, seen):
        nonlocal m
        alpha, mu = at(learning_rate, t), 0.0 if momentum is None else at(momentum, t)
        tau = 0.0 if dampening is None or t == 1 else at(dampening, t)
        m = mu * m + (1 - tau) * g
        return -alpha * (g + mu * m if nesterov else m)

    return step


@each_leaf
def momentum(learning_rate, momentum=0.9, nesterov=False):
    v = 0.0

    def step(t, g, p, seen):
        nonlocal v
        alpha, mu = at(learning_rate, t), at(momentum, t)
        v = mu * v - alpha * g
        return mu * v - alpha * g if nesterov else v

    return step


@each_leaf
def rmsprop(learning_rate, momentum=None, nesterov=False, rate_inside=True, **moments):
    normalized = scale_by_rms(**moments)
    v = 0.0

    def step(t, g, p, seen):
        nonlocal v
        alpha, mu = at(learning_rate, t), at(momentum, t)
        x = normalized(t, g, p, seen)
        if mu is None:
            return -alpha * x
        inside, outside = (-alpha, 1.0) if rate_inside else (1.0, -alpha)
        v = mu * v + inside * x
        return outside * (inside * x + mu * v if nesterov else v)

    return step


def _stepped(rule):
    """An optimizer from a rule that scales the gradient: a step against that, with or without a decay of the weights."""

    @each_leaf
    def optimizer(learning_rate, weight_decay=0.0, mask=None, decoupled=False, **hyperparams):
        scaled, chosen = rule(**hyperparams), 1.0 if mask is None else mask

        def step(t, g, p, seen):
            alpha, decay = at(learning_rate, t), chosen * at(weight_decay, t) * p
            a = scaled(t, g, p, seen)
            return -alpha * a - decay if decoupled else -alpha * (a + decay)

        return step

    return optimizer


adam = _stepped(scale_by_adam)
amsgrad = _stepped(scale_by_amsgrad)
adamax = _stepped(scale_by_adamax)
adagrad = _stepped(scale_by_rss)
radam = _stepped(scale_by_radam)


def adamw(weight_decay=1e-4, **hyperparams):
    return adam(weight_decay=weight_decay, **hyperparams)


def adamaxw(weight_decay=1e-4, **hyperparams):
    return adamax(weight_decay=weight_decay, **hyperparams)


def nadam(momentum_decay=None, **hyperparams):
    if momentum_decay is None:
        return adam(nesterov=True, **hyperparams)
    return _stepped(scale_by_nadam)(momentum_decay=momentum_decay, **hyperparams)


def nadamw(weight_decay=1e-4, **hyperparams):
    return nadam(weight_decay=weight_decay, **hyperparams)


@each_leaf
def adadelta(learning_rate=1.0, weight_decay=0.0, weight_decay_mask=None, decoupled=False, **moments):
    scaled, chosen = scale_by_adadelta(**moments), 1.0 if weight_decay_mask is None else weight_decay_mask

    def step(t, g, p, seen):
        alpha, decay = at(learning_rate, t), chosen * at(weight_decay, t) * p
        if decoupled:
            return -alpha * scaled(t, g, p, seen) - decay
        return -alpha * scaled(t, g + decay, p, seen)

    return step


def rprop(**hyperparams):
    return chain(scale_by_rprop(**hyperparams), scale(step_size=-1.0))

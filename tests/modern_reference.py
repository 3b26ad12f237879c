"""More loops in NumPy, float64, as those of ``reference.py``: quasi-hyperbolic, aggregated, layer-wise, factored, signs.

Each is written from the equations of its paper, one array at a time.
"""

import numpy as np

from tests.reference import at, each_leaf, scale_by_adam


def _descent(rule, weight_decay=0.0):
    """An optimizer along what a rule makes of the gradient, with or without a decay of the weights."""
    default = weight_decay

    @each_leaf
    def optimizer(learning_rate, weight_decay=default, mask=None, decoupled=False, **hyperparams):
        direction, chosen = rule(**hyperparams), 1.0 if mask is None else mask

        def step(t, g, p, seen):
            alpha, decay = at(learning_rate, t), chosen * at(weight_decay, t) * p
            d = direction(t, g, p, seen)
            return -alpha * d - decay if decoupled else -alpha * (d + decay)

        return step

    return optimizer


@each_leaf
def ema(decay, debias=True, accumulator_dtype=None, nesterov=False):
    m = 0.0

    def step(t, g, p, seen):
        nonlocal m
        beta = at(decay, t)
        m = beta * m + (1 - beta) * g
        if nesterov:
            return beta * m / (1 - beta ** (t + 1) if debias else 1) + (1 - beta) * g / (1 - beta**t if debias else 1)
        return m / (1 - beta**t) if debias else m

    return step


def norm(x):
    return np.sqrt(np.sum(np.abs(x) ** 2))


def rms(x):
    return norm(x) / np.sqrt(max(x.size, 1))


@each_leaf
def clip_by_block_rms(threshold):
    return lambda t, g, p, seen: g / max(1.0, rms(g) / at(threshold, t))


@each_leaf
def scale_by_param_block_rms(min_scale=1e-3):
    return lambda t, g, p, seen: g * max(rms(p), at(min_scale, t))


@each_leaf
def scale_by_trust_ratio(min_norm=0.0, trust_coefficient=1.0, eps=0.0, mask=None):
    def step(t, g, p, seen):
        of_p, of_g = max(norm(p), at(min_norm, t)), max(norm(g), at(min_norm, t))
        if of_p == 0 or of_g == 0 or (mask is not None and not mask):
            return g
        return g * at(trust_coefficient, t) * of_p / (of_g + at(eps, t))

    return step


@each_leaf
def scale_by_qhm(momentum=0.999, nu=0.7):
    m = 0.0

    def step(t, g, p, seen):
        nonlocal m
        beta, part = at(momentum, t), at(nu, t)
        m = beta * m + (1 - beta) * g
        return (1 - part) * g + part * m

    return step


@each_leaf
def scale_by_qhadam(b1=0.995, b2=0.999, nu1=0.7, nu2=1.0, eps=1e-8):
    m = v = 0.0

    def step(t, g, p, seen):
        nonlocal m, v
        beta1, beta2, part1, part2 = at(b1, t), at(b2, t), at(nu1, t), at(nu2, t)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * np.abs(g) ** 2
        numerator = (1 - part1) * g + part1 * m / (1 - beta1**t)
        return numerator / (np.sqrt((1 - part2) * np.abs(g) ** 2 + part2 * v / (1 - beta2**t)) + at(eps, t))

    return step


@each_leaf
def scale_by_aggmo(betas=(0.0, 0.9, 0.99)):
    velocities = [0.0 for _ in betas]

    def step(t, g, p, seen):
        velocities[:] = [at(beta, t) * m + g for beta, m in zip(betas, velocities, strict=True)]
        return sum(velocities) / len(betas)

    return step


@each_leaf
def scale_by_belief(b1=0.9, b2=0.999, eps=1e-16, eps_root=1e-16, nesterov=False):
    m = s = 0.0

    def step(t, g, p, seen):
        nonlocal m, s
        beta1, beta2 = at(b1, t), at(b2, t)
        m = beta1 * m + (1 - beta1) * g
        s = beta2 * s + (1 - beta2) * np.abs(g - m) ** 2 + at(eps_root, t)
        m_hat = m / (1 - beta1**t)
        if nesterov:
            m_hat = beta1 * m / (1 - beta1 ** (t + 1)) + (1 - beta1) * g / (1 - beta1**t)
        return m_hat / (np.sqrt(s / (1 - beta2**t)) + at(eps, t))

    return step


@each_leaf
def scale_by_factored_rms(factored=True, decay_rate=0.8, step_offset=0, min_dim_size_to_factor=128, epsilon=1e-30):
    v = row_means = column_means = 0.0

    def step(t, g, p, seen):
        nonlocal v, row_means, column_means
        beta = 1 - max(t - at(step_offset, t), 1) ** -at(decay_rate, t)
        squares = np.abs(g) ** 2 + at(epsilon, t)
        axes = np.argsort(g.shape)[-2:]
        if not factored or len(axes) < 2 or g.size == 0 or g.shape[axes[0]] < min_dim_size_to_factor:
            v = beta * v + (1 - beta) * squares
            return g / np.sqrt(v)
        row, column = axes
        row_means = beta * row_means + (1 - beta) * squares.mean(axis=column, keepdims=True)
        column_means = beta * column_means + (1 - beta) * squares.mean(axis=row, keepdims=True)
        return g / np.sqrt(row_means * column_means / row_means.mean(axis=row, keepdims=True))

    return step


@each_leaf
def scale_by_lion(b1=0.9, b2=0.99, mu_dtype=None, mode="hard", smooth_beta=1.0):
    m = 0.0

    def step(t, g, p, seen):
        nonlocal m
        beta1, beta2 = at(b1, t), at(b2, t)
        c = beta1 * m + (1 - beta1) * g
        m = beta2 * m + (1 - beta2) * g
        if mode == "smooth":
            return np.tanh(at(smooth_beta, t) * c)
        return np.where(np.abs(c) < 1, c, np.sign(c)) if mode == "refined" else np.sign(c)

    return step


@each_leaf
def scale_by_sign():
    return lambda t, g, p, seen: np.sign(g)


@each_leaf
def scale_by_adan(b1=0.98, b2=0.92, b3=0.99, eps=1e-8, eps_root=0.0, look_ahead=None):
    m = v = n = 0.0
    before = None

    def step(t, g, p, seen):
        nonlocal m, v, n, before
        beta1, beta2, beta3 = at(b1, t), at(b2, t), at(b3, t)
        gamma = beta2 if look_ahead is None else at(look_ahead, t)
        difference = np.zeros_like(g) if before is None else g - before
        before = g
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * difference
        n = beta3 * n + (1 - beta3) * np.abs(g + gamma * difference) ** 2
        nesterov = m / (1 - beta1**t) + gamma * v / (1 - beta2**t)
        return nesterov / (np.sqrt(n / (1 - beta3**t) + at(eps_root, t)) + at(eps, t))

    return step


# Optimizers

qhm = _descent(scale_by_qhm)
qhadam = _descent(scale_by_qhadam)
aggmo = _descent(scale_by_aggmo)
adabelief = _descent(scale_by_belief)
lion = _descent(scale_by_lion, weight_decay=1e-3)
sign_sgd = _descent(scale_by_sign)
signum = _descent(lambda beta=0.9, accumulator_dtype=None: _sign_of(ema(decay=beta, debias=False)))


def _sign_of(rule):
    return lambda *now: np.sign(rule(*now))


def adan(eps_root=1e-8, **hyperparams):
    return _descent(scale_by_adan)(eps_root=eps_root, **hyperparams)


@each_leaf
def lamb(learning_rate, b1=0.9, b2=0.999, eps=1e-6, eps_root=0.0, weight_decay=0.0, mask=None, decoupled=False):
    adam, chosen = scale_by_adam(b1=b1, b2=b2, eps=eps, eps_root=eps_root), 1.0 if mask is None else mask

    def step(t, g, p, seen):
        decay = chosen * at(weight_decay, t) * p
        r = adam(t, g, p, seen) + (0.0 if decoupled else decay)
        ratio = norm(p) / norm(r) if norm(p) > 0 and norm(r) > 0 else 1.0
        return -at(learning_rate, t) * ratio * r - (decay if decoupled else 0.0)

    return step


@each_leaf
def lars(
    learning_rate,
    weight_decay=0.0,
    weight_decay_mask=True,
    trust_coefficient=0.001,
    eps=0.0,
    trust_ratio_mask=True,
    momentum=0.9,
    nesterov=False,
    decoupled=False,
):
    v = 0.0

    def step(t, g, p, seen):
        nonlocal v
        decay = weight_decay_mask * at(weight_decay, t) * p
        r = g if decoupled else g + decay
        scaled = norm(p) > 0 and norm(r) > 0 and trust_ratio_mask
        rate = at(learning_rate, t) * (at(trust_coefficient, t) * norm(p) / (norm(r) + at(eps, t)) if scaled else 1.0)
        mu = at(momentum, t)
        v = mu * v - rate * r
        return (mu * v - rate * r if nesterov else v) - (decay if decoupled else 0.0)

    return step


@each_leaf
def adafactor(
    learning_rate=1.0,
    min_dim_size_to_factor=128,
    decay_rate=0.8,
    decay_offset=0,
    multiply_by_parameter_scale=True,
    clipping_threshold=1.0,
    momentum=None,
    dtype_momentum=None,
    weight_decay_rate=0.0,
    eps=1e-30,
    factored=True,
    weight_decay_mask=True,
    min_scale=1e-3,
):
    moments = {"factored": factored, "min_dim_size_to_factor": min_dim_size_to_factor, "decay_rate": decay_rate}
    scaled = scale_by_factored_rms(**moments, step_offset=decay_offset, epsilon=eps)
    m = 0.0

    def step(t, g, p, seen):
        nonlocal m
        u = scaled(t, g, p, seen)
        if clipping_threshold is not None:
            u = u / max(1.0, rms(u) / at(clipping_threshold, t))
        u = at(learning_rate, t) * u * (max(rms(p), at(min_scale, t)) if multiply_by_parameter_scale else 1.0)
        if momentum is not None:
            m = u = at(momentum, t) * m + (1 - at(momentum, t)) * u
        return -u - weight_decay_mask * at(weight_decay_rate, t) * p

    return step

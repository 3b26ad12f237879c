"""The rules as loops in NumPy, float64, written from their equations.

A rule is a function of its hyperparameters that returns ``step(t, g, p, seen) -> u``: the update at step t = 1, 2, ...
for the gradient g and the parameters p, each one vector that holds a whole tree. A hyperparameter is a number, a vector
(one number per element), or a function of t - 1 (a schedule). ``seen`` holds the extra arguments of the update.
"""

import math

import numpy as np


def at(x, t):
    """The hyperparameter at update t; schedules start at 0."""
    return x(t - 1) if callable(x) else x


# Building blocks


def identity():
    return lambda t, g, p, seen: g


def scale(step_size):
    return lambda t, g, p, seen: at(step_size, t) * g


def scale_by_learning_rate(learning_rate, flip_sign=True):
    return lambda t, g, p, seen: (-1 if flip_sign else 1) * at(learning_rate, t) * g


def scale_by_schedule(step_size_fn):
    return lambda t, g, p, seen: step_size_fn(t - 1) * g


def clip(max_delta):
    return lambda t, g, p, seen: np.minimum(np.maximum(g, -at(max_delta, t)), at(max_delta, t))


def clip_by_global_norm(max_norm):
    def step(t, g, p, seen):
        norm = math.sqrt(np.sum(np.abs(g) ** 2))
        return g if norm <= at(max_norm, t) else g * at(max_norm, t) / norm

    return step


def add_decayed_weights(weight_decay=0.0, mask=None):
    chosen = 1.0 if mask is None else mask
    return lambda t, g, p, seen: g + chosen * at(weight_decay, t) * p


def trace(decay, nesterov=False, accumulator_dtype=None):
    m = 0.0

    def step(t, g, p, seen):
        nonlocal m
        mu = at(decay, t)
        m = mu * m + g
        return g + mu * m if nesterov else m

    return step


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
        return g * (rate / learning_rate)

    return step


def chain(*steps):
    def step(t, g, p, seen):
        for part in steps:
            g = part(t, g, p, seen)
        return g

    return step


named_chain = chain


def flatten(inner):  # the loops run on one vector anyway
    return inner


# Optimizers


def sgd(learning_rate, momentum=None, nesterov=False, accumulator_dtype=None):
    m = 0.0

    def step(t, g, p, seen):
        nonlocal m
        alpha, mu = at(learning_rate, t), 0.0 if momentum is None else at(momentum, t)
        m = mu * m + g
        return -alpha * (g + mu * m if nesterov else m)

    return step


def momentum(learning_rate, momentum=0.9, nesterov=False):
    v = 0.0

    def step(t, g, p, seen):
        nonlocal v
        alpha, mu = at(learning_rate, t), at(momentum, t)
        v = mu * v - alpha * g
        return mu * v - alpha * g if nesterov else v

    return step


def rmsprop(learning_rate, momentum=None, nesterov=False, **moments):
    normalized = scale_by_rms(**moments)
    v = 0.0

    def step(t, g, p, seen):
        nonlocal v
        change, mu = -at(learning_rate, t) * normalized(t, g, p, seen), at(momentum, t)
        if mu is None:
            return change
        v = mu * v + change
        return change + mu * v if nesterov else v

    return step


def adam(learning_rate, **moments):
    normalized = scale_by_adam(**moments)
    return lambda t, g, p, seen: -at(learning_rate, t) * normalized(t, g, p, seen)


def adamw(learning_rate, weight_decay=1e-4, mask=None, decoupled=False, **moments):
    normalized, chosen = scale_by_adam(**moments), 1.0 if mask is None else mask

    def step(t, g, p, seen):
        alpha, decay = at(learning_rate, t), chosen * at(weight_decay, t) * p
        a = normalized(t, g, p, seen)
        return -alpha * a - decay if decoupled else -alpha * (a + decay)

    return step


# Schedules: functions of t = 0, 1, ...


def constant_schedule(value):
    return lambda t: value


def natural_exp_decay(init_value, decay_rate):
    return lambda t: init_value * math.exp(-decay_rate * t)


def exponential_decay(
    init_value,
    transition_steps,
    decay_rate,
    transition_begin=0,
    staircase=False,
    end_value=None,
):
    def value(t):
        periods = max(t - transition_begin, 0) / transition_steps
        decayed = init_value * decay_rate ** (math.floor(periods) if staircase else periods)
        if end_value is None:
            return decayed
        return max(decayed, end_value) if decay_rate < 1 else min(decayed, end_value)

    return value


def polynomial_schedule(init_value, end_value, power, transition_steps, transition_begin=0):
    def value(t):
        if t <= transition_begin or transition_steps == 0:
            return init_value
        left = 1 - min(t - transition_begin, transition_steps) / transition_steps
        return end_value + (init_value - end_value) * left**power

    return value


def linear_schedule(init_value, end_value, transition_steps, transition_begin=0):
    return polynomial_schedule(init_value, end_value, 1, transition_steps, transition_begin)


def cosine_decay_schedule(init_value, decay_steps, alpha=0.0, exponent=1.0):
    def value(t):
        cosine = (1 + math.cos(math.pi * min(t, decay_steps) / decay_steps)) / 2
        return init_value * ((1 - alpha) * cosine**exponent + alpha)

    return value


def warmup_cosine_decay_schedule(init_value, peak_value, warmup_steps, decay_steps, end_value=0.0, exponent=1.0):
    def value(t):
        if t < warmup_steps:
            return init_value + (peak_value - init_value) * t / warmup_steps
        done = min((t - warmup_steps) / (decay_steps - warmup_steps), 1)
        cosine = (1 + math.cos(math.pi * done)) / 2
        return end_value + (peak_value - end_value) * cosine**exponent

    return value


def piecewise_constant_schedule(init_value, boundaries_and_scales=None):
    pairs = (boundaries_and_scales or {}).items()
    return lambda t: init_value * math.prod(factor for boundary, factor in pairs if t >= boundary)


def join_schedules(schedules, boundaries):
    def value(t):
        passed = [boundary for boundary in boundaries if t >= boundary]
        return schedules[len(passed)](t - (passed[-1] if passed else 0))

    return value


def sgdr_schedule(cosine_kwargs):
    def value(t):
        begin = 0
        for cycle in cosine_kwargs[:-1]:
            if t < begin + cycle["decay_steps"]:
                return warmup_cosine_decay_schedule(**cycle)(t - begin)
            begin += cycle["decay_steps"]
        return warmup_cosine_decay_schedule(**cosine_kwargs[-1])(t - begin)

    return value


def _between(start, end, s):
    return (1 - s) * start + s * end


def _half_cosine(s):
    return (1 - math.cos(math.pi * s)) / 2


def cosine_onecycle_schedule(transition_steps, peak_value, pct_start=0.3, div_factor=25.0, final_div_factor=1e4):
    first, up = peak_value / div_factor, math.floor(pct_start * transition_steps)

    def value(t):
        if t < up:
            return _between(first, peak_value, _half_cosine(t / up))
        s = min((t - up) / (transition_steps - up), 1)
        return _between(peak_value, first / final_div_factor, _half_cosine(s))

    return value


def linear_onecycle_schedule(
    transition_steps, peak_value, pct_start=0.3, pct_final=0.85, div_factor=25.0, final_div_factor=1e4
):
    first, up, back = (
        peak_value / div_factor,
        math.floor(pct_start * transition_steps),
        math.floor(pct_final * transition_steps),
    )
    marks = [0, up, back, transition_steps]
    values = [first, peak_value, first, first / final_div_factor]
    return lambda t: float(np.interp(t, marks, values))


def wsd_schedule(init_value, peak_value, warmup_steps, stable_steps, decay_steps, end_value=0.0, shape="linear"):
    falls = {
        "linear": lambda s: 1 - s,
        "cosine": lambda s: (1 + math.cos(math.pi * s)) / 2,
        "1-sqrt": lambda s: 1 - math.sqrt(s),
    }

    def value(t):
        if t < warmup_steps:
            return init_value + (peak_value - init_value) * t / warmup_steps
        s = min(max(t - warmup_steps - stable_steps, 0) / decay_steps, 1)
        return end_value + (peak_value - end_value) * falls[shape](s)

    return value


def rex_schedule(init_value, decay_steps, alpha=0.0):
    def value(t):
        s = min(t / decay_steps, 1)
        return init_value * ((1 - alpha) * (1 - s) / (1 / 2 + (1 - s) / 2) + alpha)

    return value


def inverse_sqrt_schedule(init_value, peak_value, warmup_steps):
    def value(t):
        if t < warmup_steps:
            return init_value + (peak_value - init_value) * t / warmup_steps
        return peak_value * math.sqrt(warmup_steps / t) if warmup_steps >= 1 else peak_value / math.sqrt(t + 1)

    return value


def cyclic_schedule(init_value, peak_value, step_size_up=2000, step_size_down=None, mode="triangular", gamma=1.0):
    down = step_size_up if step_size_down is None else step_size_down
    period = step_size_up + down

    def value(t):
        cycle = math.floor(t / period)
        since = t - cycle * period
        height = since / step_size_up if since < step_size_up else (period - since) / down
        factor = {"triangular": 1.0, "triangular2": 0.5**cycle, "exp_range": gamma**t}[mode]
        return init_value + (peak_value - init_value) * height * factor

    return value


def step_schedule(init_value, step_size, gamma=0.1):
    return lambda t: init_value * gamma ** (t // step_size)

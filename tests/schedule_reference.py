"""The schedules as NumPy functions of t = 0, 1, ..., float64, written from their equations."""

import math

import numpy as np


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

"""Loops in NumPy for narrow parameters and states, with the types of ml_dtypes.

The gradients of the table of cases are float64, which these wrappers leave alone: there a wrapper's loop is that of what is in
it. The loops in narrow types take a step in float32, ``step(g, p) -> update``, and return the parameters on the way.
"""

import numpy as np


def kahan(optimizer):
    return optimizer


master_weights = kahan


def stochastic_rounding(optimizer, seed=0):
    return optimizer


bfloat16_states = stochastic_rounding


def wide(x):
    return np.asarray(x).astype(np.float32)


def spacing(x, kind):
    """The distance of neighbours in a narrow type at x, as powers of two in float64."""
    digits, least = {"bfloat16": (8, -149), "float16": (11, -24)}[np.dtype(kind).name]
    exponent = np.frexp(np.abs(np.asarray(x, np.float64)))[1] - digits
    return 2.0 ** np.maximum(np.where(x == 0, least, exponent), least)


def rounded_by(x, draw, kind, unit=None):
    """The upper neighbour of x where the draw is under how far x is above the lower one, in float64."""
    unit = spacing(x, kind) if unit is None else unit
    below = np.floor(x / unit)
    return unit * (below + (draw < x / unit - below))


def turn(count):
    """The fraction of count over the golden ratio, in 24 binary digits."""
    return ((count * 2654435769) % 2**32 // 256) / 2**24


def kahan_path(step, p, gradients):
    """The parameters that Kahan's summation goes through, and the last compensation."""
    kind, c, path = p.dtype, np.zeros_like(p), []
    for count, g in enumerate(gradients):
        e = wide(c) + step(wide(g), wide(p) + wide(c))
        update = (wide((wide(p) + e).astype(kind)) - wide(p)).astype(kind)
        new = (wide(p) + wide(update)).astype(kind)
        c = rounded_by(np.float64(e - (wide(new) - wide(p))), turn(count), kind).astype(kind)
        p = new
        path.append(p)
    return np.stack(path), c


def master_path(step, p, gradients):
    """The parameters that follow a float32 copy, and the last of that."""
    kind, w, path = p.dtype, wide(p), []
    for g in gradients:
        w = w + step(wide(g), w)
        update = (wide(w.astype(kind)) - wide(p)).astype(kind)
        p = (wide(p) + wide(update)).astype(kind)
        path.append(p)
    return np.stack(path), w


def random_path(step, p, gradients, draws):
    """The parameters that are rounded by draws, one for each element and step."""
    kind, path = p.dtype, []
    for g, draw in zip(gradients, draws, strict=True):
        u = np.float64(step(wide(g), wide(p)))
        exact = np.float64(p) + u
        new = rounded_by(exact, draw, kind, np.maximum(spacing(exact, kind), spacing(u, kind)))
        update = wide(new - np.float64(p)).astype(kind)
        p = (wide(p) + wide(update)).astype(kind)
        path.append(p)
    return np.stack(path)

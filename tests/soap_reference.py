"""Loops in NumPy, float64, of the rules on matrices that keep matrices: SOAP, Shampoo, PSGD Kron.

Each is written from the equations of its paper or its authors' code, one matrix at a time. A leaf of more than two axes is a
stack of matrices for the blocks (``scale_by_soap``), and one matrix of joined rows for the optimizers (``soap``).
"""

import itertools

import jax
import numpy as np
import scipy.linalg
import scipy.special

from tests.reference import _per_leaf, at, each_leaf, scale_by_adam


def _of_matrices(loop):
    """A rule of arrays from one of matrices: an array's matrices lie along its last two axes."""

    def rule(**hyperparams):
        loops = {}

        def step(t, g, p, seen):
            if g.ndim <= 2:
                return loops.setdefault((), loop(**hyperparams))(t, g)
            u = np.zeros_like(g)
            for i in itertools.product(*map(range, g.shape[:-2])):
                u[i] = loops.setdefault(i, loop(**hyperparams))(t, g[i])
            return u

        return step

    return rule


def _joined(step):
    """A step of leaves of more than two axes as matrices whose rows are all axes but the last."""

    def of_array(t, g, *rest):
        shape = g.shape
        return step(t, g.reshape(-1, shape[-1]) if g.ndim > 2 and g.size else g, *rest).reshape(shape)

    return of_array


def _descent(rule, weight_decay):
    """An optimizer along a rule of arrays, with a decay of the weights."""
    default = weight_decay

    @each_leaf
    def optimizer(learning_rate, weight_decay=default, mask=None, decoupled=False, **hyperparams):
        direction, chosen = _joined(rule(**hyperparams)), 1.0 if mask is None else mask

        def step(t, g, p, seen):
            alpha, decay = at(learning_rate, t), chosen * at(weight_decay, t) * p
            d = direction(t, g, p, seen)
            return -alpha * d - decay if decoupled else -alpha * (d + decay)

        return step

    return optimizer


# SOAP


def _soap_of_matrix(
    b1=0.95,
    b2=0.95,
    shampoo_beta=None,
    eps=1e-8,
    precondition_frequency=10,
    max_precond_dim=10000,
    normalize_grads=False,
):
    m = v = 0.0
    means, bases = [0.0, 0.0], [None, None]

    def turn(x, back=False):
        ql, qr = bases
        if ql is not None:
            x = (ql if back else ql.conj().T) @ x
        return x if qr is None else x @ (qr.conj().T if back else qr)

    def step(t, g):
        nonlocal m, v
        beta1, beta2, n = at(b1, t), at(b2, t), t - 1
        beta = beta2 if shampoo_beta is None else at(shampoo_beta, t)
        sides = [i for i in (0, 1) if g.ndim == 2 and g.size and g.shape[i] <= max_precond_dim]
        u = np.zeros_like(g)
        if n > 0:
            h = turn(g)
            m, v = beta1 * m + (1 - beta1) * h, beta2 * v + (1 - beta2) * np.abs(h) ** 2
            u = turn(m / (np.sqrt(v) + at(eps, t)), back=True)
            if normalize_grads and g.size:
                u = u / np.sqrt(np.mean(np.abs(u) ** 2))
            u = u * np.sqrt(1 - beta2**n) / (1 - beta1**n)
        for i, square in zip((0, 1), (lambda: g @ g.conj().T, lambda: g.conj().T @ g), strict=True):
            if i in sides:
                means[i] = beta * means[i] + (1 - beta) * square()
        if n == 0:
            for i in sides:
                bases[i] = np.linalg.eigh(means[i])[1][:, ::-1]
        elif n % at(precondition_frequency, t) == 0 and sides:
            m = turn(m, back=True)
            for i in sides:
                values = np.real(np.diag(bases[i].conj().T @ means[i] @ bases[i]))
                order = np.argsort(-values)
                v = np.take(v, order, axis=i)
                bases[i] = np.linalg.qr(means[i] @ bases[i][:, order])[0]
            m = turn(m)
        return u

    return step


scale_by_soap_of_array = _of_matrices(_soap_of_matrix)
scale_by_soap = each_leaf(scale_by_soap_of_array)


@each_leaf
def soap(learning_rate, weight_decay=0.01, mask=None, decoupled=False, **hyperparams):
    direction, chosen = _joined(scale_by_soap_of_array(**hyperparams)), 1.0 if mask is None else mask

    def step(t, g, p, seen):
        alpha, decay = at(learning_rate, t), chosen * at(weight_decay, t)
        s = -alpha * direction(t, g, p, seen)
        return s if t == 1 else s - (1.0 if decoupled else alpha) * decay * (p + s)

    return step


# Shampoo


def _power(a, exponent, eps):
    values, vectors = np.linalg.eigh(a)
    values = np.maximum(values + eps, len(a) * np.finfo(np.float64).eps * values[-1])
    return vectors * values**exponent @ vectors.conj().T


def _cut(g, size):
    """The slices of a matrix's blocks."""
    starts = [range(0, length, int(size)) for length in g.shape]
    return [tuple(slice(start, start + int(size)) for start in corner) for corner in itertools.product(*starts)]


def _shampoo_of_matrix(b1=0.9, b2=0.999, eps=1e-12, precondition_frequency=10, start=None, block_size=1024):
    m, sums, roots = 0.0, {}, {}

    def step(t, g):
        """The update, and whether it uses roots."""
        nonlocal m
        beta1, beta2, every = at(b1, t), at(b2, t), at(precondition_frequency, t)
        begin = every if start is None else at(start, t)
        m = beta1 * m + (1 - beta1) * g
        mean = m / (1 - beta1**t)
        shape, sided = g.shape, (0, 1) if g.ndim == 2 else (0,)
        matrix, u = (x.reshape(shape if len(shape) == 2 else (-1, 1)) for x in (g, mean.copy()))
        new, correction = (1.0, 1.0) if beta2 == 1 else (1 - beta2, 1 - beta2**t)
        for k, block in enumerate(_cut(matrix, block_size)):
            x = matrix[block]
            for i in sided:
                square = x @ x.conj().T if i == 0 else x.conj().T @ x
                sums[k, i] = beta2 * sums.get((k, i), 0.0) + new * square
                if t >= begin and (t % every == 0 or t == begin):
                    roots[k, i] = _power(sums[k, i] / correction, -0.5 / len(sided), at(eps, t))
            if t >= begin:
                u[block] = roots[k, 0] @ u[block] @ (roots[k, 1] if 1 in sided else np.eye(1))
        return u.reshape(shape), t >= begin

    return step


def _scaled_to(rule, graft):
    """Each matrix of a rule's updates as long as that of another; that of the other where there are no roots yet."""

    def step(t, g, *rest):
        (u, rooted), length = rule(t, g), graft(t, g, *rest)
        return u * np.linalg.norm(length) / (np.linalg.norm(u) or 1.0) if rooted else length

    return step


def _adam(**numbers):
    return scale_by_adam(**numbers)


@each_leaf
def scale_by_shampoo(graft=None, **numbers):
    def loop():
        rule = _shampoo_of_matrix(**numbers)
        return _scaled_to(rule, graft) if graft else lambda t, g: rule(t, g)[0]

    return _of_matrices(loop)()


def _shampoo_of_array(b1=0.9, graft="adam", adam_b2=0.999, adam_eps=1e-8, **numbers):
    rule, adam = _shampoo_of_matrix(b1=b1, **numbers), scale_by_adam(b1=b1, b2=adam_b2, eps=adam_eps)

    def step(t, g, p, seen):
        a = adam(t, g, g, seen)
        if g.ndim < 2 or g.size == 0:
            return a
        return rule(t, g)[0] if graft is None else _scaled_to(rule, lambda *now: a)(t, g)

    return step


shampoo = _descent(_shampoo_of_array, weight_decay=0.0)


# PSGD Kron


def threefry(key, x0, x1):
    """Two words of 32 bits from two, as the Threefry cipher of 20 rounds mixes them (Salmon et al., 2011)."""
    k0, k1 = (np.uint32(k) for k in key)
    keys = (k0, k1, np.uint32(k0 ^ k1 ^ np.uint32(0x1BD11BDA)))
    x0, x1 = (np.atleast_1d(np.asarray(x, np.uint32)) for x in (x0, x1))
    with np.errstate(over="ignore"):
        x0, x1 = x0 + keys[0], x1 + keys[1]
        for i in range(5):
            for turn in ((13, 15, 26, 6), (17, 29, 16, 24))[i % 2]:
                x0 = x0 + x1
                x1 = (x1 << np.uint32(turn)) | (x1 >> np.uint32(32 - turn))
                x1 = x0 ^ x1
            x0, x1 = x0 + keys[(i + 1) % 3], x1 + keys[(i + 2) % 3] + np.uint32(i + 1)
    return x0, x1


def fold_in(key, number):
    """The key that JAX derives from a key and a number."""
    return [int(x[0]) for x in threefry(key, 0, int(number))]


def bits(key, shape):
    """The words that JAX draws in a shape."""
    count = int(np.prod(shape))
    x0, x1 = threefry(key, np.zeros(count, np.uint32), np.arange(count, dtype=np.uint32))
    return (x0 ^ x1).reshape(shape)


def draws(seed, t, index, shape, is_complex=False):
    """Whether factors are balanced at an update, and the normal numbers of one leaf."""
    key = fold_in((0, int(seed)), t)
    balanced = bits(key, ()) < 42949673
    whole = bits(fold_in(key, index), (2, *shape) if is_complex else shape) >> np.uint32(9)
    normal = np.sqrt(2) * scipy.special.erfinv((2.0 * whole + 1) * 2.0**-23 - 1)
    return balanced, (normal[0] + 1j * normal[1]) / np.sqrt(2) if is_complex else normal


def annealed(step):
    return np.clip(np.exp(-0.001 * (step - 500)), 0.03, 1.0)


def _diagonal(shape, most, mode):
    """Which sides of a matrix have a diagonal for a factor."""
    rows, columns = shape
    saved = {
        None: [False, False],
        "one_diag": [rows > columns, rows <= columns],
        "smart_one_diag": [rows > columns, rows < columns],
        "all_diag": [True, True],
    }[mode]
    return [save or length == 1 or length > most for save, length in zip(saved, shape, strict=True)]


def _norm_below(a):
    top = np.max(np.abs(a))
    a = a / top
    x = a @ a[:, np.argmax(np.sum(np.abs(a) ** 2, axis=0))]
    return top * np.linalg.norm(a @ (x / np.linalg.norm(x)))


def _kron_of_matrix(
    b1=0.9,
    precond_lr=0.1,
    precond_init_scale=1.0,
    max_size_triangular=8192,
    memory_save_mode=None,
    momentum_into_precond_update=True,
    vector=False,
):
    m, qs = 0.0, []

    def factor(q):
        return np.diag(q) if q.ndim == 1 else q

    def begin(shape):
        if vector:
            return [precond_init_scale * np.ones(shape[0])]
        diagonal = _diagonal(shape, max_size_triangular, memory_save_mode)
        ones = [np.ones(n) if d else np.eye(n) for n, d in zip(shape, diagonal, strict=True)]
        return [np.sqrt(precond_init_scale) * one for one in ones]

    def step(t, g, moves, balanced, v):
        nonlocal m
        beta = at(b1, t)
        m = beta * m + (1 - beta) * g
        mean = m / (1 - beta**t)
        if g.size == 0:
            return mean
        qs[:] = qs or begin(g.shape)
        seen = mean if momentum_into_precond_update else g
        if moves and np.any(seen):
            if balanced and len(qs) == 2:
                tops = [np.max(np.abs(q)) for q in qs]
                qs[:] = [q * np.sqrt(tops[0] * tops[1]) / top for q, top in zip(qs, tops, strict=True)]
            left, right = factor(qs[0]), np.eye(1) if vector else factor(qs[1])
            noisy = seen + 2.0**-11.5 * np.mean(np.abs(seen)) * v
            a = left @ noisy @ right.conj().T
            b = np.linalg.inv(left).conj().T @ v @ np.linalg.inv(right)
            for i in range(len(qs)):
                x, y = (a, b) if i == 0 else (a.conj().T, b.conj().T)
                xx, yy = x @ x.conj().T, y @ y.conj().T
                if qs[i].ndim == 1:
                    xx, yy = np.real(np.diag(xx)), np.real(np.diag(yy))
                    qs[i] = qs[i] - at(precond_lr, t) * (xx - yy) / np.max(xx + yy) * qs[i]
                else:
                    qs[i] = qs[i] - at(precond_lr, t) * np.triu(xx - yy) @ qs[i] / _norm_below(xx + yy)
        left, right = factor(qs[0]), np.eye(1) if vector else factor(qs[1])
        u = left.conj().T @ left @ mean @ right.conj().T @ right
        size = np.sqrt(np.mean(np.abs(u) ** 2))
        return u * min(1.0, 1.1 / size) if size > 0 else u

    return step


def _kron(groups, **hyperparams):
    """A rule of trees; ``groups`` tells for each leaf its place in the tree that its rule sees, and whether it is a vector."""
    numbers = dict(hyperparams)
    probability, seed = numbers.pop("preconditioner_update_probability", None), numbers.pop("seed", 0)
    loops, waited = {}, 0

    def step(t, g, p, seen):
        nonlocal waited
        waited += 1
        often = annealed(t - 1) if probability is None else at(probability, t)
        moves = often > 0 and waited >= 1 / often
        waited = 0 if moves else waited
        leaves, structure = jax.tree.flatten(g)
        updates = []
        for k, (x, (index, vector, joined)) in enumerate(zip(leaves, groups(leaves), strict=True)):
            shape = (x.size, 1) if vector else (-1, x.shape[-1]) if joined else x.shape
            matrices, u = x.reshape(shape), np.zeros(x.shape, x.dtype).reshape(shape)
            balanced, v = draws(seed, t, index, matrices.shape, np.iscomplexobj(x))
            for i in itertools.product(*map(range, matrices.shape[:-2])):
                loop = loops.setdefault((k, i), _kron_of_matrix(**numbers, vector=vector))
                u[i] = loop(t, matrices[i], moves, balanced, v[i])
            updates.append(u.reshape(x.shape))
        return structure.unflatten(updates)

    return step


def scale_by_kron(vectors=False, **hyperparams):
    return _kron(lambda leaves: [(2 * i + vectors, vectors or x.ndim < 2, False) for i, x in enumerate(leaves)], **hyperparams)


def _by_kind(leaves):
    """Matrices and other leaves are counted apart; the others are vectors."""
    places = {True: itertools.count(), False: itertools.count()}
    kinds = [x.ndim < 2 or x.size == 0 for x in leaves]
    return [(2 * next(places[other]) + other, other, not other) for other in kinds]


def psgd_kron(learning_rate, weight_decay=0.0, mask=None, decoupled=False, **hyperparams):
    direction, chosen = _kron(_by_kind, **hyperparams), 1.0 if mask is None else mask

    def step(t, g, p, seen):
        d, structure = direction(t, g, p, seen), jax.tree.structure(g)
        numbers = [_per_leaf(name, x, p) for name, x in (("mask", chosen), ("rate", learning_rate), ("decay", weight_decay))]
        rows = zip(*map(jax.tree.leaves, (d, p)), *numbers, strict=True)
        return structure.unflatten([_stepped(t, *row, decoupled) for row in rows])

    return step


def _stepped(t, d, p, chosen, alpha, decay, decoupled):
    alpha, decay = at(alpha, t), chosen * at(decay, t) * p
    return -alpha * d - decay if decoupled else -alpha * (d + decay)

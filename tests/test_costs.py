"""What a step costs, as the planner counts it: loops with their passes, factorizations by their formulas."""

import math

import jax
import jax.numpy as jnp
import pytest
from jax import lax

import jopt
from jopt.engine.compiled import costs
from jopt.engine.planning import planner

N = 8
SQUARE = jnp.eye(N)
PRODUCT = 2 * N**3


def counted(function, *args):
    return costs.count(jax.make_jaxpr(function)(*args))


def flops(function, *args):
    return counted(function, *args).flops


def cases(names, **rows):
    """A table of cases, each with what it is about as its name."""
    return pytest.mark.parametrize(names, [pytest.param(*row, id=name) for name, row in rows.items()])


def ones(*shape, dtype=jnp.float32):
    return jnp.ones(shape, dtype)


def convolution(**params):
    return lambda x, kernel: lax.conv_general_dilated(x, kernel, **{"window_strides": (1, 1), "padding": "SAME", **params})


def test_factorizations_are_counted_and_shared_among_workers_while_a_sweep_runs():
    threadpoolctl = pytest.importorskip("threadpoolctl")

    def threads():
        return [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]

    def loss(w, _):
        return jnp.linalg.eigh(w @ w.T + SQUARE)[0].sum()

    def swept(function, workers):
        during = []
        rates = jopt.sgd(jopt.choice(0.1, 0.2))
        jopt.sweep(
            function,
            SQUARE,
            rates,
            steps=4,
            evaluate=lambda w: {"m": w[0, 0]},
            eval_every=2,
            workers=workers,
            callbacks=lambda _: during.append(threads()),
        )
        return during

    assert counted(loss, SQUARE, None).factorizations == 1
    jax.block_until_ready(jnp.linalg.eigh(SQUARE))  # LAPACK is there
    with threadpoolctl.threadpool_limits(3):
        before = threads()
        assert {n for each in swept(loss, 64) for n in each} == {1}
        assert swept(lambda w, _: (w @ w).sum(), 64)[0] == before  # no factorization
        assert threads() == before


def gradient(function):
    """The result, and for a loss that is linear in it the gradients of both arguments: nothing but convolutions."""

    def both(x, kernel):
        result, pull = jax.vjp(function, x, kernel)
        return result, pull(ones(*result.shape))

    return both


@cases(
    ("function", "args"),
    matrices=(jnp.matmul, (ones(5, 7), ones(7, 3))),
    batches_of_matrices=(jnp.matmul, (ones(4, 5, 7), ones(4, 7, 3))),
    three_matrices=(lambda x, y: jnp.einsum("bij,bkj,lk->bil", x, y, y[0, :, :3]), (ones(4, 5, 7), ones(4, 3, 7))),
    mapped=(jax.vmap(jnp.matmul, (0, None)), (ones(4, 5, 7), ones(7, 3))),
    convolution=(convolution(), (ones(2, 3, 9, 8), ones(4, 3, 3, 3))),
    strides=(convolution(padding="VALID", window_strides=(2, 1)), (ones(2, 3, 9, 8), ones(4, 3, 3, 2))),
    kernel_with_gaps=(convolution(rhs_dilation=(2, 2)), (ones(2, 3, 9, 8), ones(4, 3, 3, 3))),
    feature_groups=(convolution(feature_group_count=3), (ones(2, 6, 9, 8), ones(9, 2, 3, 3))),
    input_with_gaps=(convolution(lhs_dilation=(2, 3), padding=((1, 2), (0, 1))), (ones(2, 3, 5, 4), ones(4, 3, 3, 3))),
    batch_groups=(convolution(batch_group_count=2), (ones(4, 3, 9, 8), ones(4, 3, 3, 3))),
    gradients=(gradient(convolution(window_strides=(2, 2))), (ones(2, 3, 9, 8), ones(4, 3, 3, 3))),
)
def test_products_and_convolutions_cost_what_xla_says(function, args):
    # Before XLA optimizes, so that the count is of what was asked for.
    assert flops(function, *args) == jax.jit(function).lower(*args).cost_analysis()["flops"]


def test_a_product_costs_after_compiling_what_was_counted_before():
    x = ones(64, 32)
    assert flops(lambda x: x @ x.T, x) == pytest.approx(jax.jit(lambda x: x @ x.T).lower(x).compile().cost_analysis()["flops"])


def test_a_product_of_complex_numbers_costs_four_times_as_much():
    assert flops(jnp.matmul, SQUARE.astype(complex), SQUARE.astype(complex)) == 4 * PRODUCT


def test_each_row_of_a_ragged_product_meets_one_group():
    assert flops(lax.ragged_dot, ones(6, 4), ones(3, 4, 5), jnp.array([2, 0, 4])) == 2 * 6 * 4 * 5


def power(x, passes):
    return lax.scan(lambda c, _: (c @ x, None), x, None, length=passes)[0]


@cases(
    ("function", "products"),
    scan=(lambda x: power(x, 200), 200),
    no_pass=(lambda x: power(x, 0), 0),
    nested_scans=(lambda x: lax.scan(lambda c, _: (power(c, 7), None), x, None, length=5)[0], 35),
    map=(lambda x: lax.map(lambda row: x @ (x * row), x), N),
    fori_loop=(lambda x: lax.fori_loop(3, 9, lambda i, c: c @ x, x), 6),
    scan_in_fori_loop=(lambda x: lax.fori_loop(0, 4, lambda i, c: power(c, 3), x), 12),
    mapped_scan=(jax.vmap(lambda row: power(jnp.outer(row, row), 3)), 3 * N),
    gradient_of_a_scan=(jax.grad(lambda x: power(x, 10).sum()), 30),
)
def test_a_loop_counts_with_its_passes(function, products):
    assert flops(function, SQUARE) == products * PRODUCT


def until(goes_on, start=0, grow=lambda i: i + 1):
    return lambda x: lax.while_loop(lambda c: goes_on(c[0], c[1]), lambda c: (grow(c[0]), c[1] @ x), (start, x))[1]


GUESS = costs.GUESSED_PASSES


@cases(
    ("function", "products"),
    less=(until(lambda i, c: i < 25), 25),
    at_most=(until(lambda i, c: i <= 25), 26),
    from_two=(until(lambda i, c: jnp.greater(25, i), start=2, grow=lambda i: 2 + i), 12),
    downwards=(until(lambda i, c: i > 0, start=25, grow=lambda i: i - 3), 9),
    downwards_to_zero=(until(lambda i, c: i >= 0, start=24, grow=lambda i: i - 3), 9),
    never=(until(lambda i, c: i < 0, start=3), 0),
    two_counters=(until(lambda i, c: (i < 25) & (i < 7)), 7),
    floats=(jax.jit(until(lambda i, c: i < 0.5, start=0.0, grow=lambda i: i + 0.125)), 4),
    # Nobody knows when a residual is small, or a counter that doubles, stands or turns its back arrives.
    residual=(until(lambda i, c: jnp.sum(c) < 3), GUESS),
    doubling=(until(lambda i, c: i < 25, start=1, grow=lambda i: 2 * i), GUESS),
    turned_back=(until(lambda i, c: i < 25, grow=lambda i: i - 1), GUESS),
    no_end=(until(lambda i, c: i < jnp.inf, start=0.0), GUESS),
    # But a counter ends it at last.
    residual_or_few=(until(lambda i, c: (jnp.sum(c) < 3) & (i < 4)), 4),
    residual_or_many=(until(lambda i, c: (i < 1000) & (jnp.sum(c) < 3)), GUESS),
    either=(until(lambda i, c: (i < 4) | (jnp.sum(c) < 3)), GUESS),
)
def test_a_while_loop_counts_as_far_as_its_counter_tells(function, products):
    assert flops(function, SQUARE) == products * PRODUCT


def test_the_literal_bounds_of_a_while_loop_are_seen_through_calls():
    def powered(x, start, bound):
        return lax.while_loop(lambda c: c[0] < bound, lambda c: (c[0] + 1, c[1] @ x), (start, x))[1]

    assert flops(lambda x: jax.jit(powered)(x, 3, 30), SQUARE) == 27 * PRODUCT
    assert flops(lambda x: jax.checkpoint(jax.jit(powered))(x, 3, 30), SQUARE) == 27 * PRODUCT
    assert flops(powered, SQUARE, 3, 30) == GUESS * PRODUCT


def test_the_condition_of_a_while_loop_counts_too():
    def function(x):
        return lax.while_loop(lambda c: (c[0] < 5) & (jnp.sum(c[1] @ x) < 3), lambda c: (c[0] + 1, c[1] @ x), (0, x))

    assert flops(function, SQUARE) == 5 * 2 * PRODUCT


def test_of_branches_the_most_expensive_counts():
    branches = [lambda x: x, lambda x: x @ x, lambda x: x @ x @ x]
    assert flops(lambda x: lax.switch(jnp.int32(x[0, 0]), branches, x), SQUARE) == 2 * PRODUCT
    assert flops(lambda x: lax.cond(x[0, 0] > 0, lambda x: power(x, 9), lambda x: x, x), SQUARE) == 9 * PRODUCT


@jax.custom_jvp
def with_jvp(x):
    return x @ x


with_jvp.defjvp(lambda given, tangents: (with_jvp(*given), tangents[0] @ given[0]))


@jax.custom_vjp
def with_vjp(x):
    return x @ x


with_vjp.defvjp(lambda x: (x @ x, x), lambda x, g: (g @ x,))


@cases(
    "function",
    custom_jvp=(with_jvp,),
    custom_vjp=(with_vjp,),
    checkpoint=(jax.checkpoint(lambda x: x @ x),),
    jits=(jax.jit(jax.jit(lambda x: x @ x)),),
)
def test_what_is_called_counts_once(function):
    assert flops(function, SQUARE) == PRODUCT


def test_of_a_linear_solve_its_solver_counts_and_not_what_derivatives_would_need():
    assert flops(jnp.linalg.solve, SQUARE, ones(N, 3)) == pytest.approx(2 * N**3 / 3 + 2 * N**2 * 3)


def decomposed(function, **options):
    return lambda x: function(x, **options)


TALL, WIDE = ones(12, N), ones(N, 12)


@cases(
    ("function", "x", "expected"),
    cholesky=(jnp.linalg.cholesky, SQUARE, N**3 / 3),
    lu=(jax.scipy.linalg.lu_factor, SQUARE, 2 * N**3 / 3),
    tall_lu=(jax.scipy.linalg.lu_factor, TALL, 12 * N**2 - N**3 / 3),
    eigh=(jnp.linalg.eigh, SQUARE, 9 * N**3),
    eig=(jnp.linalg.eig, SQUARE, 25 * N**3),
    eigenvalues=(jnp.linalg.eigvals, SQUARE, 10 * N**3),
    schur=(jax.scipy.linalg.schur, SQUARE, 25 * N**3),
    svd=(decomposed(jnp.linalg.svd, full_matrices=False), SQUARE, 22 * N**3),
    singular_values=(decomposed(jnp.linalg.svd, compute_uv=False), TALL, 4 * 12 * N**2 - 4 * N**3 / 3),
    wide_svd=(decomposed(jnp.linalg.svd, full_matrices=False), WIDE, 14 * 12 * N**2 + 8 * N**3),
    full_svd=(decomposed(jnp.linalg.svd, full_matrices=True), TALL, 4 * 12**2 * N + 8 * 12 * N**2 + 9 * N**3),
    reflected=(
        lambda x: jax.scipy.linalg.qr_multiply(x, ones(5, 12)),
        TALL,
        2 * N**2 * (12 - N / 3) + 4 * 5 * 12 * N - 2 * 5 * N**2,
    ),
    from_reflectors=(lambda x: jax.lax.linalg.householder_product(x, x[0, :6]), TALL, 4 * 12 * N * 6 - 40 * 36 + 4 * 6**3 / 3),
    qr=(jnp.linalg.qr, TALL, 4 * N**2 * (12 - N / 3)),
    full_qr=(
        decomposed(jnp.linalg.qr, mode="complete"),
        TALL,
        2 * N**2 * (12 - N / 3) + 4 * (12**2 * N - 12 * N**2 + N**3 / 3),
    ),
    triangular_solve=(lambda x: jax.scipy.linalg.solve_triangular(x, ones(N, 5)), SQUARE, N**2 * 5),
    fft=(jnp.fft.fft, ones(N, N, dtype=jnp.complex64), 5 * N * N * math.log2(N)),
    fft_of_two_axes=(jnp.fft.fft2, ones(N, N, dtype=jnp.complex64), 5 * N * N * math.log2(N * N)),
    real_fft=(jnp.fft.rfft, ones(N, N), 2.5 * N * N * math.log2(N)),
    inverse_real_fft=(jnp.fft.irfft, ones(3, 5, dtype=jnp.complex64), 2.5 * 3 * 8 * math.log2(8)),
    complex_cholesky=(jnp.linalg.cholesky, SQUARE.astype(complex), 4 * N**3 / 3),
)
def test_a_factorization_costs_what_its_formula_says_and_a_batch_of_them_so_many_times_as_much(function, x, expected):
    assert flops(function, x) == pytest.approx(expected)
    assert flops(jax.vmap(jax.vmap(function)), jnp.broadcast_to(x, (2, 3, *x.shape))) == pytest.approx(6 * expected)


def test_convolutions_count_with_the_passes_of_their_loop():
    x, kernel = ones(1, 1, 5, 5), ones(1, 1, 3, 3)
    conv = convolution()
    assert counted(conv, x, kernel).convolutions == 1
    assert counted(lambda x, k: lax.fori_loop(0, 6, lambda i, x: conv(x, k), x), x, kernel).convolutions == 6
    assert counted(lambda x, k: lax.cond(x[0, 0, 0, 0] > 0, lambda: conv(x, k), lambda: x), x, kernel).convolutions == 1


def test_arrays_that_a_function_closes_over_do_not_matter():
    bounds = jnp.int32(3), jnp.int32(300)
    found = [
        flops(lambda x, b=b: lax.while_loop(lambda c: c[0] < b, lambda c: (c[0] + 1, c[1] @ x), (0, x)), SQUARE) for b in bounds
    ]
    assert found[0] == found[1]


@cases(
    ("function", "args"),
    sums=(lambda x, y: jnp.tanh(x) * y + 2, (ones(3, 5), ones(3, 5))),
    broadcast=(lambda x, y: jnp.exp(x - y), (ones(3, 5), ones(5))),
    moved=(lambda x: x.T[::2].reshape(-1), (ones(6, 5),)),
)
def test_operations_on_single_elements_are_counted_apart_as_xla_counts_them(function, args):
    found, said = counted(function, *args), jax.jit(function).lower(*args).cost_analysis()
    assert found == costs.Costs(0, said.get("flops", 0) + said.get("transcendentals", 0), 0)


def test_a_sum_of_many_elements_costs_as_much_as_it_has_terms_and_whole_numbers_nothing():
    assert counted(jnp.sum, SQUARE) == costs.Costs(elements=N * N)
    assert counted(jnp.sum, SQUARE.astype(int)) == costs.Costs()


def test_operations_on_single_elements_count_with_the_passes_of_their_loop():
    assert counted(lambda x: lax.fori_loop(0, 50, lambda i, x: jnp.sin(x), x), SQUARE).elements == 50 * N * N


def newton_schulz(passes):
    """Muon's, for one matrix: the update is about orthogonal."""

    def polar(g):
        return lax.scan(lambda x, _: (1.5 * x - 0.5 * x @ x.T @ x, None), g / jnp.linalg.norm(g), None, length=passes)[0]

    @jopt.transformation
    def rule(learning_rate):
        return lambda params: (), lambda grads, state, params=None: (
            jax.tree.map(lambda g: -learning_rate * polar(g), grads),
            state,
        )

    return rule


@jopt.transformation
def shampoo(learning_rate):
    """One sided, without memory: each matrix of gradients divided by the root of its Gram matrix."""

    def divided(g):
        values, vectors = jnp.linalg.eigh(g @ g.T)
        return -learning_rate * vectors / jnp.sqrt(jnp.abs(values) + 1e-6) @ vectors.T @ g

    return lambda params: (), lambda grads, state, params=None: (jax.tree.map(divided, grads), state)


def layer(w, batch):
    return jnp.mean((batch[0] @ w - batch[1]) ** 2)


def iterated(w, batch):
    """A logistic map in place of a layer: nothing but operations on single elements."""
    return jnp.mean(lax.fori_loop(0, 300, lambda i, x: x + 0.01 * w * x * (1 - x), batch[0]))


def swept(monkeypatch, loss, optimizer):
    """What a step of a sweep costs, and the width that its planner proposes first for a run of 10,000 steps."""
    asked, real = [], planner._on_cpu
    monkeypatch.setattr(planner, "_on_cpu", lambda analysis, *rest: asked.append(analysis) or real(analysis, *rest))
    data = ones(32, 64), ones(32, 64)
    optimizer = optimizer(jopt.geomspace(1e-4, 1e-1, 4))
    params = ones(64, 64) if loss is layer else ones(64)
    jopt.sweep(loss, params, optimizer, data, steps=2, batch_size=16, workers=2, progress=False)
    return asked[0].flops, real(asked[0], 128, 1, 10_000, 2)[0][0]


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="the rule is for CPUs")
@cases(
    ("loss", "optimizer", "step"),
    newton_schulz=(layer, newton_schulz(30), 30 * 4 * 64**3),
    shampoo=(layer, shampoo, 9 * 64**3 + 6 * 64**3),
    elements=(iterated, jopt.sgd, 300 * 7 * 16 * 64),
)
def test_a_step_that_factorizes_or_loops_gets_narrower_blocks_than_sgd_on_a_layer(monkeypatch, loss, optimizer, step):
    light, wide = swept(monkeypatch, layer, jopt.sgd)
    heavy, narrow = swept(monkeypatch, loss, optimizer)
    assert heavy - light > step
    assert narrow < wide

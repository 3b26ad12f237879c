"""Closed forms and errors of SOAP, Shampoo and PSGD Kron."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jopt
from jopt.optimizers import kron_factors
from jopt.values.matrices import first_basis, next_basis
from jopt.values.refreshing import in_any_lane, is_due, refreshed
from tests.cases import extras, run
from tests.oracles import epsilon_hat
from tests.soap_reference import bits, draws, fold_in

KRON = importlib.import_module("jopt.optimizers.kron")

STEPS = 40


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def updates_of(opt, grads):
    """The updates along gradients, [steps, ...], from weights of 1."""
    return np.asarray(run(opt, np.ones_like(grads[0]), grads, extras(len(grads)))[0])


def test_soap_without_bases_is_adam_after_a_step_that_is_left_out(x64):
    grads = normal(STEPS, 4, 3)
    plain = updates_of(jopt.adam(0.1, 0.95, 0.95, epsilon_hat(1e-8, 0.95)), grads[1:])
    found = updates_of(jopt.soap(0.1, weight_decay=0.0, max_precond_dim=0), grads)
    np.testing.assert_array_equal(found[0], 0.0)
    np.testing.assert_allclose(found[1:], plain, rtol=1e-12)


def test_soap_in_identity_bases_is_adam(x64):
    grads = normal(STEPS, 3, 1) * np.ones((3, 3))
    grads = np.eye(3)[None] * grads * np.array([100.0, 10.0, 1.0])  # diagonal, and far enough apart to keep their order
    found = updates_of(jopt.soap(0.1, weight_decay=0.0, precondition_frequency=3), grads)
    plain = updates_of(jopt.soap(0.1, weight_decay=0.0, max_precond_dim=0), grads)
    np.testing.assert_allclose(found, plain, rtol=1e-12, atol=1e-14)


def test_soap_turns_with_the_matrix(x64):
    grads = normal(STEPS, 4, 4)
    left, right = (np.linalg.qr(normal(4, 4, seed=i))[0] for i in (1, 2))
    opt = jopt.chain(jopt.scale_by_soap(precondition_frequency=4), jopt.scale(-0.1))
    np.testing.assert_allclose(updates_of(opt, left @ grads @ right), left @ updates_of(opt, grads) @ right, rtol=0, atol=1e-9)


def test_shampoo_of_order_one_is_full_matrix_adagrad(x64):
    grads, eps = normal(STEPS, 5), 0.1
    found = updates_of(jopt.scale_by_shampoo(b1=0.0, b2=1.0, eps=eps, precondition_frequency=1), grads)
    for t in range(STEPS):
        values, vectors = np.linalg.eigh(grads[: t + 1].T @ grads[: t + 1] + eps * np.eye(5))
        np.testing.assert_allclose(found[t], vectors @ ((vectors.T @ grads[t]) / np.sqrt(values)), rtol=1e-11, atol=1e-13)


def test_shampoo_of_a_diagonal_problem_is_adagrad(x64):
    grads = np.eye(4) * normal(STEPS, 4, 1)
    found = updates_of(jopt.scale_by_shampoo(b1=0.0, b2=1.0, eps=0.0, precondition_frequency=1), grads)
    adagrad = updates_of(jopt.scale_by_rss(initial_accumulator_value=0.0, eps=0.0), grads)
    np.testing.assert_allclose(found, adagrad, rtol=0, atol=1e-12)


def test_shampoos_steps_are_as_long_as_its_grafts(x64):
    grads = normal(STEPS, 2, 4, 3)
    opt = jopt.scale_by_shampoo(block_size=2, precondition_frequency=3, graft=jopt.scale_by_adam())
    lengths = (np.linalg.norm(updates_of(o, grads), axis=(-2, -1)) for o in (opt, jopt.scale_by_adam()))
    np.testing.assert_allclose(*lengths, rtol=1e-12)


def test_a_stack_is_as_many_matrices(x64):
    grads = normal(STEPS, 2, 4, 3)
    rules = {
        "soap": jopt.scale_by_soap(precondition_frequency=3),
        "soap of gradients of one size": jopt.scale_by_soap(precondition_frequency=3, normalize_grads=True),
        "shampoo": jopt.scale_by_shampoo(precondition_frequency=3, block_size=2),
    }
    for name, rule in rules.items():
        found = updates_of(rule, grads)
        for i in range(2):
            np.testing.assert_allclose(found[:, i], updates_of(rule, grads[:, i]), rtol=1e-9, atol=1e-11, err_msg=name)


def test_kron_whitens_a_quadratics_gradients():
    left, right = normal(4, 4, seed=1), normal(3, 3, seed=2)
    grads = (left @ normal(3000, 4, 3) @ right).astype(np.float32)
    whole = updates_of(jopt.scale_by_kron(b1=0.0), grads)[1500:].reshape(1500, -1)
    np.testing.assert_allclose(whole.T @ whole / 1500, np.eye(12), atol=0.35)
    assert np.linalg.cond(np.cov(grads.reshape(3000, -1).T)) > 100


def test_the_draws_of_kron_depend_on_the_seed_alone():
    grads = normal(5, 4, 3).astype(np.float32)
    one, same, other = (updates_of(jopt.psgd_kron(0.1, seed=seed), grads) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one[1:], other[1:], rtol=1e-4)


def test_kron_leaves_a_leaf_alone_that_has_no_gradient():
    rule, zeros = jopt.scale_by_kron(), jnp.zeros((3, 2))
    _, state = run(rule, zeros, jnp.zeros((50, 3, 2)), extras(50))
    np.testing.assert_array_equal(state.left, np.eye(3))


def test_the_loops_draw_as_jax_draws():
    key = jax.random.fold_in(jax.random.key(7, impl="threefry2x32"), 3)
    np.testing.assert_array_equal(jax.random.key_data(key), fold_in((0, 7), 3))
    np.testing.assert_array_equal(jax.random.bits(key, (2, 3), np.uint32), bits(fold_in((0, 7), 3), (2, 3)))
    many = np.concatenate([draws(0, t, 0, (50, 40))[1].ravel() for t in range(1, 11)])
    assert abs(np.mean(many)) < 0.03
    assert np.std(many) == pytest.approx(1.0, abs=0.03)


def test_what_no_lane_wants_is_not_worked_out_under_vmap():
    text = jax.jit(jax.vmap(lambda w, x: refreshed(w, jnp.sin, x))).lower(jnp.zeros(3, bool), jnp.ones(3)).as_text()
    assert "stablehlo.case" in text  # and no select of both branches
    found = jax.vmap(lambda w, x: refreshed(w, lambda x: -x, x))(jnp.array([True, False, True]), jnp.arange(1.0, 4.0))
    np.testing.assert_array_equal(found, [-1.0, 2.0, -3.0])
    twice = jax.vmap(jax.vmap(in_any_lane))(jnp.array([[False, True], [False, False]]))
    assert np.all(twice)


def test_a_period_with_a_fraction_is_due_at_the_next_whole_number():
    assert [t for t in range(1, 11) if is_due(jnp.float32(t), jnp.float32(2.5))] == [3, 5, 8, 10]
    assert [t for t in range(1, 8) if is_due(jnp.float32(t), jnp.float32(3.0))] == [3, 6]


@pytest.mark.parametrize("rank", [0, 1, 5, 8])
def test_a_basis_is_orthogonal_and_does_not_depend_on_rounding(rank):
    g = normal(8, max(rank, 1)).astype(np.float32) * (rank > 0)
    mean = jnp.asarray(g @ g.T)
    near = mean * (1 + 1e-7 * jnp.asarray(normal(8, 8, seed=3), jnp.float32))
    one, other = first_basis(mean), first_basis((near + near.T) / 2)
    np.testing.assert_allclose(one.T @ one, np.eye(8), atol=1e-5)
    if rank < 8:
        np.testing.assert_allclose(jnp.abs(one.T @ other), np.eye(8), atol=1e-3)
    again, order = next_basis(mean, one)
    np.testing.assert_allclose(jnp.abs(again.T @ one[:, order]), np.eye(8), atol=1e-3)


def test_kernels_are_matrices_of_joined_rows():
    params = {"conv": jnp.ones((3, 3, 2, 4)), "bias": jnp.ones(4), "embedding": jnp.ones((6, 4))}
    state = jopt.soap(0.1, matrices={"conv": True, "bias": True, "embedding": False}).init(params)[0][0]
    assert state.matrix_state.left["conv"].shape == (18, 18)
    assert state.other_state.left["embedding"].shape == (1,)
    assert jopt.shampoo(0.1, block_size=8).init(params)[0].matrix_state.left["conv"].shape == (3, 8, 8)


@pytest.mark.parametrize("make", [jopt.soap, jopt.psgd_kron], ids=lambda make: make.__name__)
def test_a_sweep_of_a_rule_on_matrices_is_each_lane_alone(make):
    target = jnp.asarray(normal(6, 5), jnp.float32)

    def loss(w, _):
        return jnp.mean((w - target) ** 2)

    start, rates = jnp.zeros((6, 5)), (0.01, 0.03)
    result = jopt.sweep(loss, start, make(jopt.choice(*rates)), steps=25, progress=False)
    for rate, found in zip(rates, result.dataset["loss"].values[:, 0], strict=True):
        np.testing.assert_allclose(found, jopt.train(loss, start, make(rate), jnp.arange(25))[2], rtol=2e-3)


def test_second_moments_of_complex_matrices_are_real_and_zero_gradients_without_epsilon_take_no_step():
    g = jnp.zeros((3, 2), jnp.complex64)
    rule = jopt.scale_by_soap(eps=0.0)
    state = rule.init(g)
    assert (state.mu.dtype, state.nu.dtype) == (jnp.complex64, jnp.float32)
    for _ in range(3):
        updates, state = rule.update(g, state)
        np.testing.assert_array_equal(updates, 0.0)


def test_kron_takes_diagonals_alone_where_no_side_may_be_a_triangle():
    state = jopt.scale_by_kron(max_size_triangular=0).init(jnp.ones((3, 2)))
    assert sorted(x.shape for x in jax.tree.leaves(state) if x.ndim) == sorted([(3, 2), (3,), (2,)])


@pytest.mark.parametrize(
    ("mode", "shape", "left", "right"),
    [
        (None, (3, 3), (3, 3), (3, 3)),
        ("one_diag", (3, 3), (3, 3), (3,)),
        ("one_diag", (4, 3), (4,), (3, 3)),
        ("smart_one_diag", (3, 3), (3, 3), (3, 3)),
        ("smart_one_diag", (3, 4), (3, 3), (4,)),
        ("all_diag", (3, 3), (3,), (3,)),
    ],
)
def test_krons_modes_say_which_factor_is_a_diagonal(mode, shape, left, right):
    state = jopt.scale_by_kron(memory_save_mode=mode).init(jnp.ones(shape))
    assert (state.left.shape, state.right.shape) == (left, right)


def test_a_basis_is_renewed_in_each_step_where_that_is_asked_for():
    rule, g = jopt.scale_by_soap(precondition_frequency=1), jnp.asarray(normal(3, 2), jnp.float32)
    _, first = rule.update(g, rule.init(g))
    _, second = rule.update(jnp.flip(g) ** 3, first)
    assert jnp.max(jnp.abs(second.left_basis - first.left_basis)) > 1e-2


def test_krons_updates_are_bounded_matrix_by_matrix_and_its_share_of_steps_begins_with_all():
    stack = jnp.stack([jnp.ones((3, 2)), 100.0 * jnp.ones((3, 2))])
    np.testing.assert_allclose(kron_factors.bounded(stack), jnp.stack([jnp.ones((3, 2)), 1.1 * jnp.ones((3, 2))]), rtol=1e-6)
    assert jopt.scale_by_kron().init(stack).left.shape == (2, 3, 3)
    shares = [float(KRON._annealed(jnp.float32(t))) for t in (0, 500, 1500, 10_000)]
    np.testing.assert_allclose(shares, [1.0, 1.0, np.exp(-1.0), 0.03], rtol=1e-6)
    assert kron_factors._spread(jnp.ones(2), 3).shape == (2, 1, 1)


@pytest.mark.parametrize("normalize_grads", [False, True])
def test_soap_takes_no_step_without_a_gradient_and_without_epsilon(normalize_grads):
    rule, zeros = jopt.scale_by_soap(eps=0.0, normalize_grads=normalize_grads), jnp.zeros((3, 2))
    np.testing.assert_array_equal(run(rule, zeros, jnp.zeros((3, 3, 2)), extras(3))[0], 0.0)


@pytest.mark.parametrize("mode", [None, "one_diag", "all_diag"])
def test_krons_factors_of_the_first_of_a_stack_are_those_of_it_alone(mode):
    grads = normal(20, 3, 4, 2).astype(np.float32)
    rule = jopt.scale_by_kron(precond_lr=0.1, memory_save_mode=mode)
    (_, stack), (_, alone) = (run(rule, np.ones_like(g[0]), g, extras(20)) for g in (grads, grads[:, 0]))
    for side in ("left", "right"):  # the numbers that are drawn for the first matrix are those of a matrix alone
        found, expected = getattr(stack, side)[0], getattr(alone, side)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
        assert np.max(np.abs(found - (np.eye(len(found)) if found.ndim == 2 else 1.0))) > 0.1


def test_a_matrix_of_a_stack_without_a_gradient_keeps_its_factors_and_the_others_move_by_their_own_size():
    g, rule = normal(3, 2).astype(np.float32), jopt.scale_by_kron(precond_lr=0.1)
    grads = np.repeat(np.stack([np.zeros_like(g), g])[None], 20, axis=0)
    (_, state), (_, scaled) = (run(rule, grads[0], many, extras(20)) for many in (grads, grads + 1e6 * (grads == 0.0)))
    np.testing.assert_array_equal(state.left[0], np.eye(3))
    assert np.max(np.abs(state.left[1] - np.eye(3))) > 0.1
    # The noise that is added to a gradient is a share of the mean size of its own matrix, not of that beside it.
    np.testing.assert_allclose(scaled.left[1], state.left[1], rtol=1e-5)


def test_what_is_wrong_is_named():
    with pytest.raises(ValueError, match=r"memory_save_mode must be one of .*, but got 'some'"):
        jopt.scale_by_kron(memory_save_mode="some")
    with pytest.raises(ValueError, match=r'graft must be "adam", a transformation or None, but got \'sgd\''):
        jopt.shampoo(0.1, graft="sgd")
    for graft in (jopt.sgd(1.0), jopt.chain(jopt.scale_by_adam(), jopt.scale_by_learning_rate(0.1))):
        with pytest.raises(ValueError, match=r"graft must be a rule without a rate.* are steps against them"):
            jopt.shampoo(0.1, graft=graft)
    with pytest.raises(TypeError, match="scale_by_shampoo: graft is a float, not a transformation"):
        jopt.scale_by_shampoo(graft=0.1)
    with pytest.raises(ValueError, match="block_size must be a whole number of at least 1"):
        jopt.scale_by_shampoo(block_size=0)
    with pytest.raises(ValueError, match="soap needs the parameters for its weight decay"):
        jopt.soap(0.1).update(jnp.ones(2), jopt.soap(0.1).init(jnp.ones(2)))
    with pytest.raises(ValueError, match=r"soap: precondition_frequency must lie in \[1, inf\)"):
        jopt.soap(0.1, precondition_frequency=0.5)

"""Muon and NorMuon: closed forms of the orthogonal matrices, which leaves are matrices, errors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jopt
from jopt.transforms import orthogonal

RNG = np.random.default_rng(0)
STANDARD, EXACT = {}, {"ns_coeffs": "polar_express", "ns_steps": 12}


def matrix(*shape):
    return jnp.asarray(RNG.normal(size=shape))


@functools.partial(jax.jit, static_argnames=("ns_coeffs", "ns_steps", "ns_dtype"))
def made_orthogonal(tree, eps=1e-7, **words):
    rule = jopt.orthogonalize(eps=eps, **words)
    return rule.update(tree, rule.init(tree))[0]


@jax.jit
def first_update(opt, params):
    """That of the parameters as their own gradient."""
    return opt.update(params, opt.init(params), params)[0]


def factor(x):
    u, _, v = np.linalg.svd(x, full_matrices=False)
    return u @ v


def of_singular_values(values, rows, columns):
    u, v = (np.linalg.qr(RNG.normal(size=(n, len(values))))[0] for n in (rows, columns))
    return jnp.asarray((u * np.asarray(values)) @ v.T)


def test_singular_values_come_near_1_as_the_author_says(x64):
    values = np.geomspace(0.05, 1.0, 40)  # 0.015 to 0.3 of their norm
    found = np.linalg.svd(made_orthogonal(of_singular_values(values, 40, 50)), compute_uv=False)
    assert 0.68 < found.min() < 0.75
    assert 1.1 < found.max() < 1.135


@pytest.mark.parametrize("shape", [(6, 6), (4, 9), (9, 4), (3, 1), (1, 3), (2, 5, 3), (2, 3, 3, 5)])
def test_many_steps_of_the_polar_express_give_the_orthogonal_factor(shape, x64):
    x = matrix(*shape)
    np.testing.assert_allclose(made_orthogonal(x, 0.0, **EXACT), factor(x), atol=1e-9)


def test_newtons_own_coefficients_give_the_orthogonal_factor(x64):
    x = matrix(5, 7)
    found = made_orthogonal(x, ns_coeffs=(1.5, -0.5, 0.0), ns_steps=40, eps=0.0)
    np.testing.assert_allclose(found, factor(x), atol=1e-12)


def test_an_orthogonal_matrix_stays_one(x64):
    x = jnp.asarray(np.linalg.qr(RNG.normal(size=(6, 6)))[0])
    np.testing.assert_allclose(made_orthogonal(x, 0.0, **EXACT), x, atol=1e-9)
    found = made_orthogonal(x, 0.0)  # a multiple of it
    np.testing.assert_allclose(found, found[0, 0] / x[0, 0] * x, atol=1e-12)


def test_the_polar_express_has_the_coefficients_of_its_authors_algorithm():
    found, odd = np.array(orthogonal.COEFFICIENTS["polar_express"]), np.array([1, 3, 5])
    low, high = 1e-3, 1.0
    for i, row in enumerate(found):
        p = row * 1.01**odd if i < 9 else row
        least = max(low, 0.02 * high)
        scale = 1.0
        if least > low:
            scale = (p @ low**odd + p @ high**odd) / 2
            np.testing.assert_allclose(scale, 1.0, rtol=1e-12)
        if i < 6:  # 1 − q errs by as much, with alternating signs, at both ends and at both extrema between: so it is the best
            inner = np.roots([5 * p[2], 0, 3 * p[1], 0, p[0]]).real
            points = np.array([least, *np.sort(inner[inner > 0]), high])
            values = (points[:, None] ** odd) @ p
            center = (values.max() + values.min()) / 2
            np.testing.assert_allclose((values - center) * [-1, 1, -1, 1], values.max() - center, rtol=1e-6)
            if least == low:
                np.testing.assert_allclose(center, 1.0, rtol=1e-9)
        low = row @ low**odd
        high = 2 - low
    np.testing.assert_allclose(found[9], [15 / 8, -10 / 8, 3 / 8], rtol=2e-5)
    np.testing.assert_allclose(found.sum(axis=1)[9], 1.0, rtol=1e-12)


@pytest.mark.parametrize("words", [STANDARD, EXACT], ids=["standard", "exact"])
def test_what_is_made_orthogonal_does_not_depend_on_the_scale_nor_on_which_side_is_longer(words, x64):
    x = matrix(4, 7)
    found = made_orthogonal(x, 0.0, **words)
    np.testing.assert_allclose(made_orthogonal(1e5 * x, 0.0, **words), found, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(made_orthogonal(x.T, 0.0, **words), found.T, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(made_orthogonal(-x, 0.0, **words), -found, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("eps", [0.0, 1e-7])
def test_matrices_of_zeros_and_of_low_rank_stay_finite(eps):
    low = matrix(6, 1) @ matrix(1, 4)
    tree = {"zero": jnp.zeros((3, 4)), "low": low, "empty": jnp.zeros((0, 4)), "one": jnp.ones((1, 1))}
    for words in (STANDARD, EXACT):
        found = made_orthogonal(tree, eps, **words)
        assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(found))
        np.testing.assert_array_equal(found["zero"], 0.0)
    # Rounding, which is all that is in the other directions, is multiplied too.
    np.testing.assert_allclose(found["low"], low / np.linalg.norm(low), atol=1e-2)
    slopes = jax.grad(lambda tree: sum(jnp.sum(x) for x in jax.tree.leaves(made_orthogonal(tree, eps, **STANDARD))))(tree)
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(slopes))


def test_matrices_that_go_together_are_made_orthogonal_as_alone(x64):
    tree = {
        "a": matrix(3, 5),
        "b": [matrix(5, 3), matrix(2, 3, 5)],
        "c": matrix(4, 4),
        "d": (matrix(3, 5) + 1j * matrix(3, 5),),
    }
    together = made_orthogonal(tree)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(y, made_orthogonal(x), rtol=1e-12), tree, together)
    for i in range(2):
        np.testing.assert_allclose(together["b"][1][i], made_orthogonal(tree["b"][1][i]), rtol=1e-10)


def products(tree):
    text = str(jax.make_jaxpr(lambda tree: made_orthogonal.__wrapped__(tree))(tree))
    return text.count("dot_general")


def test_matrices_of_one_shape_and_of_that_shape_turned_round_share_one_iteration():
    wide, tall, stack = jnp.ones((3, 5)), jnp.ones((5, 3)), jnp.ones((7, 3, 5))
    assert products([wide]) == products([wide, wide, tall, stack]) == 15
    assert products([wide, jnp.ones((3, 3))]) == 30


def test_the_iteration_runs_in_the_type_that_is_asked_for():
    x = matrix(8, 8).astype(jnp.float32)
    found = made_orthogonal(x, ns_dtype=jnp.bfloat16)
    assert found.dtype == x.dtype
    difference = np.max(np.abs(found - made_orthogonal(x)))
    assert 1e-4 < difference < 5e-2
    assert made_orthogonal(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16
    text = str(jax.make_jaxpr(lambda x: made_orthogonal.__wrapped__(x, ns_dtype=jnp.bfloat16))(x))
    assert all("bf16" in line for line in text.splitlines() if "dot_general[" in line)


def test_the_factor_for_the_shape_is_that_of_inputs_and_outputs():
    def scaled(adjust, shape, **words):
        rule = jopt.scale_by_shape(adjust, **words)
        return float(rule.update(jnp.ones(shape), rule.init(jnp.ones(shape)))[0][0, 0])

    assert scaled("original", (2, 8), outputs="columns") == scaled("original", (8, 2)) == 2.0
    assert scaled("original", (8, 2), outputs="columns") == scaled("original", (2, 8)) == 1.0
    assert {round(scaled("match_rms_adamw", shape), 6) for shape in [(4, 9), (9, 4)]} == {0.6}


def test_match_rms_adamw_gives_elements_the_root_mean_square_of_adamws(x64):
    for shape in [(6, 6), (4, 10), (10, 4)]:
        x = matrix(*shape)
        opt = jopt.muon(1.0, "polar_express", 12, adjust="match_rms_adamw")
        u = first_update(opt, x)
        np.testing.assert_allclose(np.sqrt(np.mean(np.square(u))), 0.2, rtol=1e-5)


def test_normuon_gives_each_neuron_a_step_of_one_length_and_all_together_muons(x64):
    x = matrix(12, 5)
    plain, normal = (make(1.0, outputs="rows") for make in (jopt.muon, jopt.normuon))
    a, b = (first_update(opt, x) for opt in (plain, normal))
    np.testing.assert_allclose(np.linalg.norm(a), np.linalg.norm(b), rtol=1e-9)
    steps = np.linalg.norm(b, axis=1)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-8)
    assert np.ptp(np.linalg.norm(a, axis=1)) > 0.1
    assert normal.init(x).matrix_state[1].nu.shape == (12, 1)
    assert jopt.normuon(1.0, outputs="columns").init(x).matrix_state[1].nu.shape == (1, 5)


def test_a_neuron_that_gets_nothing_stays_where_it_is():
    x = matrix(4, 3).at[:, 1].set(0.0).astype(jnp.float32)
    for opt in (jopt.muon(0.1), jopt.normuon(0.1)):
        u = first_update(opt, x)
        np.testing.assert_array_equal(u[:, 1], 0.0)
        assert np.all(np.isfinite(u))


def test_weights_of_pytorch_take_the_steps_of_kernels_turned_round(x64):
    kernel = matrix(3, 2, 4, 6)  # [height, width, in, out]
    weight = jnp.transpose(kernel, (3, 2, 0, 1))  # [out, in, height, width]
    for make in (jopt.muon, jopt.normuon):
        ours, theirs = make(0.1, outputs="columns"), make(0.1, columns=3, outputs="rows")
        u, v = first_update(ours, kernel), first_update(theirs, weight)
        np.testing.assert_allclose(jnp.transpose(v, (2, 3, 1, 0)), u, rtol=1e-9, atol=1e-12)


def test_stacked_layers_step_as_each_by_itself(x64):
    layers, bias = matrix(3, 4, 6), matrix(3, 6)
    for make in (jopt.muon, jopt.normuon):
        opt, one = make(0.1, stacked=1), make(0.1)
        tree = {"w": layers, "b": bias}
        u = first_update(opt, tree)
        for i in range(3):
            np.testing.assert_allclose(u["w"][i], first_update(one, layers[i]), rtol=1e-9)
        np.testing.assert_allclose(u["b"], -0.1 * np.sign(bias), rtol=1e-6)  # a stack of vectors is Adam's


def test_what_is_no_matrix_and_what_is_handed_over_steps_as_adamw():
    params = {"embed": matrix(7, 3), "w": matrix(3, 3), "b": matrix(3)}
    chosen = {"embed": False, "w": True, "b": True}
    adam = jopt.adamw(0.01, 0.8, 0.9, 1e-6, 1e-3, weight_decay=0.1)
    words = {"adam_b1": 0.8, "adam_b2": 0.9, "adam_eps": 1e-6, "adam_eps_root": 1e-3, "adam_weight_decay": 0.1}
    expected = first_update(adam, params)
    for matrices in (chosen, lambda params: chosen):
        for make in (jopt.muon, jopt.normuon):
            opt = make(0.5, adam_learning_rate=0.01, matrices=matrices, **words)
            found = first_update(opt, params)
            np.testing.assert_allclose(found["embed"], expected["embed"], rtol=1e-6)
            np.testing.assert_allclose(found["b"], expected["b"], rtol=1e-6)
            assert np.linalg.norm(found["w"]) > 10 * np.linalg.norm(expected["w"])
    alone = jopt.muon(0.01, matrices=False, **words)  # the rate is AdamW's too, where it has none of its own
    np.testing.assert_allclose(first_update(alone, params)["w"], expected["w"], rtol=1e-6)


def test_the_rates_of_both_rules_are_read_off_the_state():
    params = {"w": jnp.ones((3, 3)), "b": jnp.ones(3)}
    opt = jopt.muon(jopt.linear_schedule(1.0, 0.0, 10), adam_learning_rate=0.5)
    _, state = opt.update(params, opt.init(params), params)
    rates = jopt.learning_rate(opt, state)
    assert {name: round(float(rate), 6) for name, rate in rates.items()} == {"learning_rate": 0.9, "adam_learning_rate": 0.5}


def test_numbers_and_structure_are_swept():
    def loss(params, _):
        return sum(jnp.mean((p - 2.0) ** 2) for p in jax.tree.leaves(params))

    params = {"w": matrix(4, 3).astype(jnp.float32), "b": jnp.zeros(3)}
    opt = jopt.muon(jopt.choice(0.1, 0.2), jopt.choice("standard", "polar_express"), beta=jopt.choice(0.8, 0.9))
    result = jopt.sweep(loss, params, opt, steps=3, progress=False)
    assert dict(result.dataset["loss"].sizes) == {"learning_rate": 2, "ns_coeffs": 2, "beta": 2, "seed": 1, "step": 3}
    one = jopt.muon(0.2, "polar_express", beta=0.8)
    found = result.dataset["loss"].sel(learning_rate=0.2, ns_coeffs="polar_express", beta=0.8).values[0]
    np.testing.assert_allclose(found, jopt.train(loss, params, one, jnp.arange(3))[2], rtol=1e-4)


def test_a_rule_on_matrices_takes_updates_that_something_else_has_made():
    """SOAP before Muon: what one block makes of a matrix, the next one makes orthogonal."""
    whitened = jopt.chain(
        jopt.scale_by_adam(), jopt.orthogonalize("polar_express", 12), jopt.scale_by_shape(), jopt.scale(-1.0)
    )
    x = jnp.array([[1.0, -2.0], [3.0, 4.0]])
    u = first_update(jopt.matrixwise(whitened, jopt.adam(0.1)), x)
    np.testing.assert_allclose(u, -factor(np.sign(x)), atol=1e-4)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: jopt.muon(0.1, "quartic"), r"ns_coeffs must be one of \['standard', 'polar_express'\], but got 'quartic'"),
        (lambda: jopt.muon(0.1, (1.0, 2.0)), "ns_coeffs must be three numbers, or a triple for each step"),
        (lambda: jopt.orthogonalize(()), "ns_coeffs must be three numbers"),
        (lambda: jopt.muon(0.1, [(1.5, -0.5, 0.0)] * 6), "ns_coeffs has 6 triples, but ns_steps is 5; give ns_steps=6"),
        (lambda: jopt.muon(0.1, ns_steps=0), "ns_steps must be a whole number of at least 1 and under"),
        (lambda: jopt.muon(0.1, adjust="spectral"), r"adjust must be one of \['original', 'match_rms_adamw'\]"),
        (lambda: jopt.normuon(0.1, outputs="left"), r"outputs must be one of \['columns', 'rows'\], but got 'left'"),
        (lambda: jopt.muon(0.1, beta=1.0), r"muon: beta must lie in \[0, 1\)"),
        (lambda: jopt.normuon(0.1, b2=-0.1), r"normuon: b2 must lie in \[0, 1\)"),
        (lambda: jopt.muon(0.1, adam_learning_rate=-1.0), r"muon: adam_learning_rate must lie in \[0, inf\)"),
    ],
)
def test_an_argument_that_does_not_fit_is_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize("make", [jopt.scale_by_muon, jopt.orthogonalize, jopt.scale_by_shape, jopt.normalize_neurons])
def test_a_leaf_that_is_no_matrix_is_named(make):
    params, rule = {"w": jnp.ones((2, 2)), "b": jnp.ones(3)}, make()
    with pytest.raises(ValueError, match=r"the leaf at \['b'\], whose shape is \(3,\); put it into jopt.matrixwise"):
        rule.update(params, rule.init(params))


def test_ten_steps_of_polar_express_are_orthogonal_to_the_last_digit_and_nine_to_its_published_limit(x64):
    g = jnp.asarray(np.random.default_rng(0).normal(size=(6, 4)))

    def singular_values(**more):
        rule = jopt.orthogonalize(eps=0.0, **more)
        return np.linalg.svd(rule.update(g, rule.init(g))[0])[1]

    np.testing.assert_allclose(singular_values(ns_coeffs="polar_express", ns_steps=10), 1.0, rtol=1e-14)
    np.testing.assert_allclose(singular_values(ns_coeffs="polar_express", ns_steps=9), 1.0 - 2.41197e-6, rtol=1e-10)
    once = singular_values(ns_coeffs=(1.5, -0.5, 0.0), ns_steps=40)
    np.testing.assert_allclose(once, 1.0, rtol=1e-14)
    np.testing.assert_array_equal(singular_values(ns_coeffs=[(1.5, -0.5, 0.0)], ns_steps=40), once)


def test_neurons_without_gradients_stay_where_they_are_without_epsilon():
    rule, g = jopt.normalize_neurons(eps=0.0), jnp.zeros((3, 2))
    np.testing.assert_array_equal(rule.update(g, rule.init(g))[0], 0.0)


@pytest.mark.parametrize("shape", [(9, 4), (2, 9, 4), (4, 9)])
def test_the_iteration_multiplies_along_the_shorter_side_of_stacks_too(shape):
    rule, g = jopt.orthogonalize(), jnp.ones(shape)
    text = str(jax.make_jaxpr(lambda g: rule.update(g, rule.init(g))[0])(g))
    assert "4,4]" in text
    assert "9,9]" not in text


@pytest.mark.parametrize("outputs", ["rows", "columns"])
def test_neurons_and_shapes_of_a_stack_are_those_of_each_by_itself(outputs, x64):
    for shape in ((3, 5, 2), (3, 2, 5)):
        stack = np.random.default_rng(0).normal(size=shape)
        for rule in (jopt.scale_by_shape(outputs=outputs), jopt.normalize_neurons(outputs=outputs)):
            together, each = rule.update(stack, rule.init(stack))[0], [rule.update(g, rule.init(g))[0] for g in stack]
            np.testing.assert_allclose(together, each, rtol=1e-12)


def test_the_mean_squares_of_complex_neurons_are_real():
    rule, g = jopt.normalize_neurons(), jnp.ones((2, 3), jnp.complex64)
    state = rule.init(g)
    assert state.nu.dtype == rule.update(g, state)[1].nu.dtype == jnp.float32

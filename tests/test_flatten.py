"""``flatten``: beyond the contracts of ``cases``, leaves of several types, extra arguments, and inside a sweep."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jopt


def params():
    return {"w": jnp.arange(6.0).reshape(2, 3) - 2, "b": jnp.ones(3), "none": None}


def loss(p, batch):
    return jnp.sum((p["w"] - 0.5) ** 2) + jnp.sum(p["b"] ** 4)


def test_a_flattened_optimizer_trains_as_the_plain_one():
    def trained(opt):
        return jopt.train(loss, params(), opt, jnp.zeros((20, 1)))[0]

    plain = jopt.chain(jopt.clip_by_global_norm(1.0), jopt.adamw(0.05))
    chex.assert_trees_all_close(trained(jopt.flatten(plain)), trained(plain), rtol=1e-6)


def test_the_state_holds_one_vector_for_each_moment_whatever_the_number_of_leaves():
    tree = [jnp.ones(3) for _ in range(50)]
    state = jopt.flatten(jopt.adam(0.1)).init(tree)
    assert [jnp.shape(x) for x in jax.tree.leaves(state)] == [(), (150,), (150,)]


def test_each_update_has_the_type_of_its_own_gradient_and_the_value_of_the_plain_rule():
    grads = {"half": jnp.full(4, 0.3, jnp.bfloat16), "single": jnp.full((2, 2), -2.0), "complex": jnp.full(1, 1 + 2j)}
    plain, flat = jopt.adam(0.1), jopt.flatten(jopt.adam(0.1))
    expected, _ = plain.update(grads, plain.init(grads))
    updates, _ = flat.update(grads, flat.init(grads))
    assert jax.tree.map(jnp.result_type, updates) == jax.tree.map(jnp.result_type, grads)
    chex.assert_trees_all_close(updates, expected, rtol=1e-2)  # bfloat16 has eight bits


def test_a_line_search_inside_sees_gradients_and_losses_of_the_tree():
    search = optax.scale_by_backtracking_linesearch(max_backtracking_steps=20)
    opt, p = jopt.flatten(jopt.chain(jopt.sgd(1.0), search)), params()
    state = opt.init(p)
    for _ in range(5):
        value, grad = jax.value_and_grad(loss)(p, None)
        updates, state = opt.update(grad, state, p, value=value, grad=grad, value_fn=lambda q: loss(q, None))
        p = jopt.apply_updates(p, updates)
        assert loss(p, None) < value


def test_its_numbers_can_be_swept():
    rates = (0.01, 0.1)
    result = jopt.sweep(loss, params(), jopt.flatten(jopt.adam(jopt.choice(*rates))), steps=10, progress=False)
    assert result.dataset.learning_rate.values.tolist() == pytest.approx(rates)
    for k, rate in enumerate(rates):
        alone = jopt.train(loss, params(), jopt.adam(rate), jnp.zeros((10, 1)))[2]
        np.testing.assert_allclose(result.dataset.loss.values[k].ravel(), alone, rtol=1e-5)


def test_gradients_of_other_parameters_are_refused_by_leaf():
    opt, p = jopt.flatten(jopt.sgd(0.1)), params()
    with pytest.raises(ValueError, match=r"\['b'\] has shape \(4,\)"):
        opt.update({**p, "b": jnp.ones(4)}, opt.init(p), p)

"""What is wrong raises an error that names the leaf or the argument, what was expected and what to try."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jopt

PARAMS = {"w": jnp.ones((2, 3)), "b": jnp.ones(3)}
GRADS = jax.tree.map(lambda p: 0.1 * p, PARAMS)
INTS = {**PARAMS, "b": jnp.ones(3, jnp.int32)}
WRONG = {**PARAMS, "b": jnp.ones(4)}
FEWER = {"w": PARAMS["w"]}
MORE = {**PARAMS, "c": jnp.ones(3)}
ADAM = jopt.adam(1e-3)
SGD = jopt.sgd(0.1)
MASKED = jopt.adamw(0.1, mask={"z": True})
STATE = ADAM.init(PARAMS)

# What was done, the error's type, and what its message must say.
ARGUMENTS = {
    "params_where_the_state_belongs": (
        lambda: ADAM.update(GRADS, PARAMS, STATE),
        ValueError,
        ["adam: updates and params", "missing in params: [\"['b']\"", "update(updates, state, params)"],
    ),
    "params_where_the_state_belongs_and_no_params": (
        lambda: ADAM.update(GRADS, PARAMS),
        ValueError,
        ["adam: the state", "expected (ScaleByAdamState, EmptyState), but got dict", "update(updates, state, params)"],
    ),
    "the_state_where_the_gradients_belong": (
        lambda: ADAM.update(STATE, GRADS, PARAMS),
        TypeError,
        ["adam: updates: the leaf at [0].count has type int32", "The order is update(updates, state, params)"],
    ),
    "a_state_of_another_optimizer": (
        lambda: jopt.sgd(0.1, momentum=0.9).update(GRADS, STATE, PARAMS),
        ValueError,
        ["sgd: the state", "expected (TraceState, EmptyState), but got (ScaleByAdamState, EmptyState)", "init(params)"],
    ),
    "a_state_of_the_same_optimizer_with_a_schedule": (
        lambda: ADAM.update(GRADS, jopt.adam(optax.constant_schedule(0.1)).init(PARAMS), PARAMS),
        ValueError,
        ["but got (ScaleByAdamState, ScaleByScheduleState)"],
    ),
    "a_state_of_another_named_chain": (
        lambda: jopt.named_chain(("a", ADAM)).update(GRADS, jopt.named_chain(("b", ADAM)).init(PARAMS), PARAMS),
        ValueError,
        ["expected {'a': (ScaleByAdamState, EmptyState)}, but got {'b': (ScaleByAdamState, EmptyState)}"],
    ),
    "no_state": (lambda: ADAM.update(GRADS, None, PARAMS), ValueError, ["but got NoneType"]),
    "a_state_of_other_parameters": (
        lambda: ADAM.update(FEWER, STATE, FEWER),
        ValueError,
        ["the updates have nothing for [\"[0].mu['b']\", \"[0].nu['b']\"] of the state", "gradients of the same params"],
    ),
    "a_state_of_fewer_parameters": (
        lambda: ADAM.update(GRADS, ADAM.init(FEWER), PARAMS),
        ValueError,
        ["the state has no [\"[0].mu['b']\", \"[0].nu['b']\"]"],
    ),
    "a_missing_gradient": (
        lambda: ADAM.update(FEWER, STATE, PARAMS),
        ValueError,
        ["adam: updates and params", "only in params: [\"['b']\"]", "gradients with respect to the same parameters"],
    ),
    "an_extra_gradient": (lambda: SGD.update(MORE, SGD.init(MORE), PARAMS), ValueError, ["missing in params: [\"['c']\"]"]),
    "a_gradient_of_another_shape": (
        lambda: SGD.update(WRONG, SGD.init(PARAMS), PARAMS),
        ValueError,
        ["sgd: the gradient at ['b'] has shape (4,), but its parameter has shape (3,)"],
    ),
    "a_gradient_of_another_shape_without_params": (
        lambda: ADAM.update(WRONG, STATE),
        ValueError,
        ["the leaf at ['b'] has shape (3,)", "has shape (4,)"],
    ),
    "a_gradient_for_none": (
        lambda: ADAM.update(GRADS, STATE, {**PARAMS, "b": None}),
        ValueError,
        ["the gradient at ['b'] has shape (3,), but its parameter is None"],
    ),
    "integer_parameters": (
        lambda: ADAM.init(INTS),
        TypeError,
        ["adam: the leaf at ['b'] has type int32", "only floating or complex", "put None in its place"],
    ),
    "boolean_parameters": (lambda: SGD.init(jnp.ones(2, bool)), TypeError, ["sgd: the leaf at (root) has type bool"]),
    "integer_gradients": (lambda: SGD.update(INTS, SGD.init(PARAMS)), TypeError, ["updates: the leaf at ['b'] has type int32"]),
    "text_among_the_parameters": (lambda: SGD.init({"w": "x"}), TypeError, ["the leaf at ['w'] is a str", "must be arrays"]),
    "weight_decay_without_params": (
        lambda: jopt.adamw(0.1).update(GRADS, jopt.adamw(0.1).init(PARAMS)),
        ValueError,
        ["add_decayed_weights needs the parameters: call update(updates, state, params)"],
    ),
    "a_plateau_without_a_value": (
        lambda: jopt.chain(SGD, jopt.reduce_on_plateau()).update(
            GRADS, jopt.chain(SGD, jopt.reduce_on_plateau()).init(PARAMS), PARAMS
        ),
        TypeError,
        ["reduce_on_plateau needs the value to monitor: call update(..., value=loss)"],
    ),
    "a_mask_of_another_tree": (
        lambda: MASKED.update(GRADS, MASKED.init(PARAMS), PARAMS),
        ValueError,
        ["mask must be", "its leaves are [\"['z']\"], and those of the tree [\"['b']\", \"['w']\"]"],
    ),
    "rates_of_another_tree": (
        lambda: jopt.sgd({"z": 0.1}).update(GRADS, jopt.sgd({"z": 0.1}).init(PARAMS), PARAMS),
        ValueError,
        ["learning_rate must be a number or a prefix of the parameter tree", "[\"['z']\"]"],
    ),
    **{
        f"several_numbers_for_{name}_{i}": (
            lambda rule=rule: rule.update(GRADS, rule.init(PARAMS), PARAMS, value=1.0),
            ValueError,
            [f"{name} must be", f"shape {shape}", "jopt.choice(*values)"],
        )
        for i, (name, rule, shape) in enumerate(
            [
                ("learning_rate", jopt.adam(np.geomspace(1e-3, 1e-1, 3)), "(3,)"),
                ("learning_rate", jopt.sgd(jopt.constant_schedule(np.array([0.1]))), "(1,)"),
                ("b1", jopt.adam(0.1, b1=jnp.array([0.8, 0.9])), "(2,)"),
                ("decay", jopt.lanes(jopt.trace(jopt.choice(0.8, 0.9, 0.95)))[0], "(3,)"),
                ("weight_decay", jopt.adamw(0.1, weight_decay=np.ones((2, 3))), "(2, 3)"),
                ("max_delta", jopt.clip(np.ones(3)), "(3,)"),
                ("max_norm", jopt.clip_by_global_norm(np.ones(3)), "(3,)"),
                ("patience", jopt.reduce_on_plateau(patience=np.arange(3)), "(3,)"),
            ]
        )
    },
    "an_array_that_widens_its_leaf": (
        lambda: jopt.sgd({"w": 0.1, "b": np.ones((2, 3))}).update(GRADS, jopt.sgd(0.1).init(PARAMS), PARAMS),
        ValueError,
        ["learning_rate: the array of shape (2, 3) for the leaf at ['b'] does not broadcast to its shape (3,)"],
    ),
    "updates_of_another_tree": (lambda: jopt.apply_updates(PARAMS, FEWER), ValueError, ["missing in updates: [\"['b']\"]"]),
    "updates_of_another_shape": (lambda: jopt.apply_updates(PARAMS, WRONG), ValueError, ["['b'] has shape (4,)"]),
    "integer_params_of_apply_updates": (
        lambda: jopt.apply_updates(INTS, GRADS),
        TypeError,
        ["apply_updates: the leaf at ['b']"],
    ),
}
NUMBERS = {
    "a_negative_rate": (
        lambda: jopt.sgd(-0.1),
        ValueError,
        ["sgd: learning_rate must lie in [0, inf), but got the value -0.1"],
    ),
    "an_infinite_rate": (lambda: jopt.sgd(np.inf), ValueError, ["learning_rate must lie in [0, inf)"]),
    "a_nan_rate": (lambda: jopt.sgd(np.nan), ValueError, ["sgd: learning_rate must be a number", "NaN"]),
    "one_negative_rate_of_several": (lambda: jopt.sgd(np.array([0.5, -1.0])), ValueError, ["but got [0.5, -1.0]"]),
    "a_negative_rate_in_a_dict": (lambda: jopt.sgd({"w": 0.1, "b": -1.0}), ValueError, ["learning_rate must lie in"]),
    "a_decay_rate_of_one": (lambda: jopt.adam(0.1, b1=1.0), ValueError, ["adam: b1 must lie in [0, 1), but got the value 1.0"]),
    "a_nan_decay_rate": (lambda: jopt.adam(0.1, b2=np.nan), ValueError, ["adam: b2 must be a number"]),
    "a_bad_number_inside_a_chain": (lambda: jopt.chain(SGD).replace(learning_rate=-1.0), ValueError, ["sgd: learning_rate"]),
    "a_bad_number_of_a_schedule": (lambda: jopt.linear_schedule(0.1, 0.0, -5), ValueError, ["transition_steps must lie in"]),
    "text": (lambda: jopt.sgd("0.1"), TypeError, ["sgd: learning_rate must be a real number", "but got '0.1'"]),
    "none": (lambda: jopt.sgd(None), TypeError, ["sgd: learning_rate must be a real number", "but got None"]),
    "true": (lambda: jopt.sgd(True), TypeError, ["learning_rate must be a real number", "but got True"]),
    "complex": (lambda: jopt.sgd(0.1j), TypeError, ["learning_rate must be a real number", "but got 0.1j"]),
    "complex_of_numpy": (lambda: jopt.scale(np.complex64(0.1j)), TypeError, ["step_size must be a real number"]),
    **{
        f"{name}_that_rounds_out_of_its_interval_{i}": (call, ValueError, [f"{name} must lie in", "as float32", becomes])
        for i, (name, call, becomes) in enumerate(
            [
                ("b2", lambda: jopt.adam(0.1, b2=1 - 2**-25), "becomes 1.0"),
                ("b1", lambda: jopt.adamw(0.1, b1=jopt.choice(0.9, 1 - 1e-9)), "becomes [0.8999999761581421, 1.0]"),
                ("decay", lambda: jopt.rmsprop(0.1, decay=np.float64(1 - 1e-12)), "becomes 1.0"),
                ("factor", lambda: jopt.reduce_on_plateau(factor=1 - 1e-10), "becomes 1.0"),
                ("max_norm", lambda: jopt.clip_by_global_norm(1e-60), "becomes 0.0"),
                ("learning_rate", lambda: jopt.sgd(1e200), "becomes inf"),
                ("learning_rate", lambda: jopt.sgd(0.1).replace(learning_rate=1e39), "becomes inf"),
                ("learning_rate", lambda: jopt.sgd(jopt.loguniform(1e-200, 1e200)), "becomes [0.0, inf]"),
                ("step_size", lambda: jopt.scale(jopt.uniform(-1e308, 1e308)), "becomes [-inf, inf]"),
                ("transition_steps", lambda: jopt.exponential_decay(0.1, 1e-50, 0.5), "becomes 0.0"),
            ]
        )
    },
    "a_function_where_only_numbers_go": (lambda: jopt.adam(0.1, b1=lambda t: 0.9), TypeError, ["b1", "@jopt.schedule"]),
    "a_narrow_decay_rate": (
        lambda: jopt.adam(0.1, b2=jnp.bfloat16(0.99)),
        TypeError,
        ["adam: b2 has type bfloat16", "give it in float32"],
    ),
    "no_rate": (lambda: jopt.sgd(), TypeError, ["learning_rate"]),
    "an_unknown_argument": (lambda: jopt.sgd(0.1, beta=0.9), TypeError, ["beta"]),
}
PARTS = {
    "an_uncalled_factory": (
        lambda: jopt.chain(jopt.clip(1.0), jopt.sgd),
        TypeError,
        ["chain: part 1 is a function, not a transformation; did you forget to call sgd(...)?"],
    ),
    "an_uncalled_factory_of_optax": (lambda: jopt.chain(optax.adam), TypeError, ["did you forget to call adam(...)?"]),
    "a_list_of_parts": (lambda: jopt.chain([SGD]), TypeError, ["part 0 is a list, not a transformation"]),
    "duplicate_names": (lambda: jopt.named_chain(("a", SGD), ("a", ADAM)), ValueError, ["names that differ", "['a', 'a']"]),
    "a_part_without_a_name": (lambda: jopt.named_chain(SGD), TypeError, ["pairs of a name and a transformation"]),
    "an_uncalled_factory_with_a_name": (lambda: jopt.named_chain(("a", jopt.sgd)), TypeError, ["forget to call sgd(...)?"]),
    "a_mode_that_is_none": (lambda: jopt.reduce_on_plateau(mode="up"), ValueError, ["'min' or 'max', but got 'up'"]),
}
CASES = {**ARGUMENTS, **NUMBERS, **PARTS}


@pytest.mark.parametrize("case", CASES)
def test_the_error_names_what_is_wrong(case):
    call, kind, parts = CASES[case]
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert [part for part in parts if part not in message] == [], message
    assert "PyTreeDef" not in message
    assert len(message) < 500


@pytest.mark.parametrize("case", ["a_state_of_another_optimizer", "a_missing_gradient", "integer_gradients"])
def test_the_errors_are_the_same_under_jit(case):
    call, kind, parts = CASES[case]
    with pytest.raises(kind) as caught:
        jax.jit(lambda: call()[0])()
    assert all(part in str(caught.value) for part in parts)


def test_a_narrow_decay_rate_from_inject_hyperparams_is_refused_and_the_way_out_works():
    narrow = jax.tree.map(lambda p: p.astype(jnp.bfloat16), PARAMS)
    refused = optax.inject_hyperparams(jopt.adam)(learning_rate=0.1)  # Optax's own gives NaN here: 0.999 becomes 1
    with pytest.raises(TypeError, match=r"hyperparam_dtype=jnp\.float32"):
        jax.jit(refused.init)(narrow)
    opt = optax.inject_hyperparams(jopt.adam, hyperparam_dtype=jnp.float32)(learning_rate=0.1)
    updates, _ = jax.jit(opt.update)(narrow, opt.init(narrow), narrow)
    np.testing.assert_allclose(updates["b"].astype(jnp.float32), -0.1, rtol=1e-2)


def test_empty_none_zero_sized_and_scalar_leaves_are_no_errors():
    tree = {"empty": {}, "none": None, "size_zero": jnp.zeros((0, 3)), "scalar": 1.0}
    updates, _ = ADAM.update(tree, ADAM.init(tree), tree)
    assert jax.tree.structure(updates) == jax.tree.structure(tree)

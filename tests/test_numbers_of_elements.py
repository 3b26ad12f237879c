"""An array in a tree of numbers: the numbers of one leaf's elements, for a rule that takes elements one by one."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jopt

PARAMS = {"bias": jnp.linspace(0.5, 1.0, 3), "kernel": jnp.linspace(-1.0, 1.0, 12).reshape(4, 3)}
GRADS = jax.tree.map(lambda p: jnp.cos(3.0 * p), PARAMS)
ON_MATRICES = {"scale_by_muon", "normalize_neurons", "orthogonalize"}


def _numbers():
    """Every argument of a factory whose default is a float."""
    for name in jopt.__all__:
        make = getattr(jopt, name)
        if hasattr(make, "factory"):
            arguments = inspect.signature(make).parameters.values()
            if all(p.name == "learning_rate" for p in arguments if p.default is p.empty and p.kind is not p.VAR_KEYWORD):
                yield from ((name, p.name) for p in arguments if isinstance(p.default, float) or p.name == "learning_rate")


def _once(opt, kept):
    """The shapes and types of an update and of the state after it."""
    params, grads = ({name: tree[name] for name in kept} for tree in (PARAMS, GRADS))
    return jax.eval_shape(lambda: opt.update(grads, opt.init(params), params))


def _refused(make, argument, each, kept):
    """Whether numbers for each element are an error, and one in jopt's words."""
    try:
        _once(make(**each), kept)
    except (TypeError, ValueError) as error:
        return f"{argument.removeprefix('adam_')}" in str(error) and "must be" in str(error)
    return False


@pytest.mark.parametrize(("name", "argument"), [*_numbers()])
def test_an_array_for_each_element_fits_where_a_number_does_or_is_an_error_that_says_so(name, argument):
    make = getattr(jopt, name)
    rate = {"learning_rate": 0.1} if "learning_rate" in inspect.signature(make).parameters else {}
    number = rate.get(argument, inspect.signature(make).parameters[argument].default)
    kept = ["kernel"] if name in ON_MATRICES else [*PARAMS]
    each = rate | {argument: {name: jnp.full(PARAMS[name].shape, number) for name in kept}}
    if not _refused(make, argument, each, kept):
        assert _once(make(**each), kept) == _once(make(**rate), kept)


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (jopt.scale_by_shampoo, "eps"),
        (jopt.scale_by_shampoo, "b2"),
        (jopt.scale_by_soap, "b2"),
        (jopt.scale_by_kron, "precond_lr"),
        (jopt.normalize_neurons, "b2"),
        (jopt.scale_by_factored_rms, "epsilon"),
    ],
)
def test_a_rule_that_takes_leaves_as_a_whole_names_the_leaf_whose_elements_have_numbers(make, argument):
    params = {"kernel": PARAMS["kernel"]}
    opt = make(**{argument: {"kernel": jnp.full((4, 3), 0.1)}})
    with pytest.raises(ValueError, match=rf"{argument}.* one number for each leaf.*\['kernel'\].*\(4, 3\)"):
        opt.update(params, opt.init(params))


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (jopt.orthogonalize, "eps"),
        (jopt.scale_by_kron, "precond_init_scale"),
        (jopt.scale_by_kron, "preconditioner_update_probability"),
        (jopt.schedule_free_sgd, "warmup_steps"),
        (jopt.schedule_free_sgd, "weight_lr_power"),
        (jopt.prodigy, "beta3"),
        (jopt.prodigy, "estim_lr0"),
        (jopt.prodigy, "estim_lr_coef"),
    ],
)
def test_what_is_one_number_for_all_leaves_says_so_of_a_tree(make, argument):
    kernel = {"kernel": PARAMS["kernel"]}

    def run():
        opt = make(**{argument: {"kernel": 0.5}})
        opt.update(kernel, opt.init(kernel), kernel)

    with pytest.raises(ValueError, match=rf"{argument} must be one number, but is a dict"):
        run()


def test_a_number_for_each_leaf_goes_to_rules_that_take_leaves_as_a_whole():
    params = {"left": PARAMS["kernel"], "right": PARAMS["kernel"]}
    opt = jopt.scale_by_shampoo(eps={"left": 1e-3, "right": 1.0})
    updates, _ = opt.update(params, opt.init(params))
    for name, eps in (("left", 1e-3), ("right", 1.0)):
        alone = jopt.scale_by_shampoo(eps=eps)
        expected, _ = alone.update(params[name], alone.init(params[name]))
        np.testing.assert_allclose(updates[name], expected, rtol=1e-5, atol=1e-6)

"""What an argument means is declared: schedules, the metric that is watched, the width of a chain."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jopt

W = jnp.float32(1.0)


def falling(step):
    return 0.1 / (1.0 + step)


def descent(learning_rate, direction=None):
    """A rule that computes with a number; ``direction`` is a function, or none."""
    turn = direction or (lambda g: g)
    return lambda params: (), lambda g, state, params=None: (jax.tree.map(lambda x: -learning_rate * turn(x), g), state)


def annotated(learning_rate: optax.ScalarOrSchedule, direction=None):
    return descent(learning_rate, direction)


PLAIN = jopt.transformation(descent)
DECLARED = jopt.transformation(schedules=("learning_rate",))(descent)
RATES = [-0.1, -0.05, -0.1 / 3]


def along(opt, steps=3):
    """The updates of a constant gradient of 1."""
    state, found = opt.init(W), []
    for _ in range(steps):
        u, state = opt.update(W, state, W)
        found.append(float(u))
    return found


# Schedules


@jopt.schedule
def inverse(init_value):
    return lambda step: init_value / (1.0 + step)


@pytest.mark.parametrize("rule", [PLAIN, DECLARED, jopt.transformation(annotated)], ids=["plain", "declared", "annotated"])
def test_a_jopt_schedule_is_evaluated_wherever_it_stands(rule):
    np.testing.assert_allclose(along(rule(inverse(0.1))), RATES, rtol=1e-6)


@pytest.mark.parametrize(
    "schedule", [falling, jax.jit(falling), optax.join_schedules([falling], [])], ids=["def", "jit", "optax"]
)
def test_a_plain_function_is_a_schedule_where_it_is_declared(schedule):
    np.testing.assert_allclose(along(DECLARED(schedule)), RATES, rtol=1e-6)


def test_a_plain_function_among_the_rates_of_a_tree_is_a_schedule_too():
    @jopt.transformation(schedules=("rates",))
    def by_leaf(rates):
        return lambda p: (), lambda g, s, p=None: (jax.tree.map(lambda x, a: -a * x, g, rates), s)

    opt, params = by_leaf({"a": falling, "b": 0.5}), {"a": W, "b": W}
    _, state = opt.update(params, opt.init(params), params)
    found, _ = opt.update(params, state, params)
    chex.assert_trees_all_close(found, {"a": -0.05, "b": -0.5})


@pytest.mark.parametrize(
    "call",
    [
        lambda: PLAIN(falling),
        lambda: jopt.transformation(annotated)(falling),
        lambda: jopt.transformation(domain={"rate": "[0, inf)"})(lambda rate=None: descent(rate))(falling),
        lambda: jopt.transformation(lambda rate=0.1: descent(rate))({"w": falling}),
        lambda: jopt.adam(0.1, b1=falling),
        lambda: jopt.scale(falling),
    ],
    ids=["no_default", "annotated", "range", "in_a_dict", "adam", "scale"],
)
def test_a_plain_function_elsewhere_is_an_error_that_names_both_ways(call):
    with pytest.raises(TypeError, match=r"is a plain function.*@jopt\.schedule.*@jopt\.transformation\(schedules=\("):
        call()


def test_a_function_that_is_structure_is_handed_over_as_it_is():
    assert along(PLAIN(0.5, jnp.sign)) == [-0.5] * 3
    given = []
    structural = jopt.transformation(static=("measure",))(lambda measure: given.append(measure) or descent(1.0))
    structural(falling)
    structural(inverse(0.1))
    assert given == [falling, inverse(0.1)]


def test_what_is_declared_of_no_argument_is_an_error():
    for keyword, value in [("schedules", ("rate",)), ("evaluates", ("rate",)), ("monitor", "rate")]:
        with pytest.raises(ValueError, match=r"descent has no argument 'rate'; its arguments are \['learning_rate', 'dire"):
            jopt.transformation(**{keyword: value})(descent)


def test_a_factory_may_evaluate_a_schedule_itself():
    @jopt.transformation(evaluates=("learning_rate",))
    def own(learning_rate):
        return jopt.scale_by_learning_rate(learning_rate)

    for rate in (falling, inverse(0.1)):
        np.testing.assert_allclose(along(own(rate)), RATES, rtol=1e-6)
        assert isinstance(own(rate).init(W), optax.ScaleByScheduleState)


def test_the_numbers_of_a_schedule_in_any_argument_are_swept():
    for rule in (PLAIN, DECLARED, jopt.lift(optax.sgd)):
        result = jopt.sweep(lambda w, _: w**2, W, rule(inverse(jopt.choice(0.1, 0.2))), steps=5, progress=False)
        for i, value in enumerate((0.1, 0.2)):
            alone = jopt.sweep(lambda w, _: w**2, W, rule(inverse(value)), steps=5, progress=False)
            np.testing.assert_allclose(result.record.losses["loss"][i], alone.record.losses["loss"], rtol=1e-6)
        assert result.record.dims == ("init_value",)


# Lifted factories: by trial, whatever the annotations and names say


def untold(rate, momentum=0.9):
    """Somebody's factory without annotations; its rate may be a function."""
    return optax.sgd(rate, momentum)


@pytest.mark.parametrize("rate", [falling, inverse(0.1)], ids=["function", "schedule"])
def test_a_lifted_factory_evaluates_the_rate_that_it_can(rate):
    opt = jopt.lift(untold)(rate, 0.0)
    np.testing.assert_allclose(along(opt), RATES, rtol=1e-6)
    assert jax.tree.structure(opt.init(W)) == jax.tree.structure(optax.sgd(rate, 0.0).init(W))


def test_a_lifted_factory_is_given_the_value_of_a_schedule_that_it_cannot_take():
    momentum = jopt.piecewise_constant_schedule(0.5, {1: 0.0})
    opt = jopt.lift(untold)(inverse(0.1), momentum)
    np.testing.assert_allclose(along(opt), RATES, rtol=1e-6)
    assert type(opt.init(W)).__name__ == "ScheduledState"
    lion = jopt.lift(optax.lion)(0.1, b1=jopt.linear_schedule(0.5, 0.9, 10))
    assert along(lion)[0] == pytest.approx(along(optax.lion(0.1, b1=0.5))[0])


def test_other_arguments_of_lifted_factories_take_schedules_as_before():
    every = jopt.schedule(lambda n: lambda step: jnp.asarray(n).astype(jnp.int32), name="every")
    two = jopt.lift(optax.MultiSteps)(jopt.sgd(0.1), every(2))
    np.testing.assert_allclose(along(two, 4), [0.0, -0.1, 0.0, -0.1], rtol=1e-6)
    scaled = jopt.lift(optax.scale_by_schedule)(inverse(-0.1))
    np.testing.assert_allclose(along(scaled), RATES, rtol=1e-6)
    decayed = jopt.lift(optax.add_decayed_weights)(inverse(0.1))
    np.testing.assert_allclose(along(decayed), [1.1, 1.05, 1.0 + 0.1 / 3], rtol=1e-6)


def test_a_lifted_value_with_an_evaluated_schedule_is_equal_when_it_is_made_or_unpickled_again():
    import copy
    import pickle

    make = lambda: jopt.lift(optax.lion)(0.1, b1=jopt.linear_schedule(0.5, 0.9, 10))  # noqa: E731
    assert make() == make()
    assert pickle.loads(pickle.dumps(make())) == make()
    assert copy.deepcopy(make()) == make()


# The metric that is watched


def test_an_argument_called_monitor_is_its_owners():
    @jopt.transformation
    def logged(learning_rate, monitor="loss"):
        return descent(learning_rate)

    result = jopt.sweep(lambda w, _: w**2, W, logged(jopt.choice(0.1, 0.2)), steps=2, progress=False)  # asks for no evaluate=
    assert result.best().hyperparams == {"learning_rate": 0.2}


def test_a_rule_of_a_user_may_watch_a_metric_under_any_name():
    @jopt.transformation(monitor="watched")
    def stopped(learning_rate, watched="val"):
        def update(g, state, params=None, *, metrics, evaluated):
            return jnp.where(metrics[watched] < 0.5, 0.0, -learning_rate) * g, state

        return lambda params: (), update

    rule = jopt.chain(jopt.identity(), stopped(jopt.choice(0.1, 0.2)))
    with pytest.raises(ValueError, match=r"monitors 'val'.*evaluate="):
        jopt.sweep(lambda w, _: w**2, W, rule, steps=2, progress=False)
    result = jopt.sweep(lambda w, _: w**2, W, rule, steps=40, evaluate=lambda w: {"val": w}, eval_every=1, progress=False)
    assert np.all(result.params > 0.3)
    assert np.all(result.params < 0.5)


# The width of a chain


def test_a_chain_is_recognised_by_what_it_declares():
    @jopt.transformation(name="chain")  # a rule of a user that happens to be called so, and keeps bfloat16
    def narrow():
        return lambda p: (), lambda g, s, p=None: (g * (1.0 if g.dtype == jnp.bfloat16 else jnp.nan), s)

    wide = jopt.chain(jopt.chain(jopt.scale(1.0 + 2**-9)), jopt.named_chain(("a", jopt.scale(1.0 + 2**-9))))
    g = jnp.bfloat16(1.0)
    found = jopt.chain(narrow(), jopt.scale(2.0))
    assert float(found.update(g, found.init(g))[0]) == 2.0
    # Two factors of 1 + 2⁻⁹ make one step of bfloat16 together, if nothing is rounded in between.
    twice = jopt.chain(wide, wide)
    assert float(twice.update(g, twice.init(g))[0]) == 1.0 + 2**-7

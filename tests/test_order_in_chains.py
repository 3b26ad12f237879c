"""What may stand behind what in a chain: nothing behind a rule whose state follows the parameters."""

import jax.numpy as jnp
import pytest

import jopt

LAST = {
    "kahan": jopt.kahan(jopt.adam(0.1)),
    "master_weights": jopt.master_weights(jopt.adam(0.1)),
    "stochastic_rounding": jopt.stochastic_rounding(jopt.adam(0.1)),
    "tail_average": jopt.tail_average(jopt.adam(0.1)),
    "parameter_ema": jopt.parameter_ema(jopt.adam(0.1)),
    "schedule_free": jopt.schedule_free(jopt.sgd(0.1), 0.1),
    "schedule_free_sgd": jopt.schedule_free_sgd(0.1),
    "schedule_free_adamw": jopt.schedule_free_adamw(0.1),
    "hyperball": jopt.hyperball(jopt.scale_by_adam(), 0.1),
}


@pytest.mark.parametrize("name", LAST)
def test_nothing_stands_behind_a_rule_whose_state_follows_the_parameters(name):
    with pytest.raises(ValueError, match=rf"chain: scale stands behind {name}, .* Put {name} around the whole chain"):
        jopt.chain(LAST[name], jopt.scale(0.5))
    with pytest.raises(ValueError, match=rf"named_chain: scale stands behind {name}"):
        jopt.named_chain(("first", LAST[name]), ("then", jopt.scale(0.5)))
    jopt.chain(jopt.clip(1.0), LAST[name])


def test_it_is_found_inside_of_chains_parts_and_wrappers():
    for inside in (
        jopt.chain(jopt.clip(1.0), LAST["kahan"]),
        jopt.partition({"a": LAST["kahan"], "b": jopt.sgd(0.1)}, {"w": "a", "v": "b"}),
        jopt.accumulate(LAST["kahan"], 2),
    ):
        with pytest.raises(ValueError, match="reduce_on_plateau stands behind kahan"):
            jopt.chain(inside, jopt.reduce_on_plateau())


def test_around_the_whole_chain_the_average_is_that_of_the_parameters():
    opt, w = jopt.tail_average(jopt.chain(jopt.sgd(1.0), jopt.scale(0.5))), jnp.float32(4.0)
    state = opt.init(w)
    for _ in range(2):
        updates, state = opt.update(jnp.float32(1.0), state, w)
        w = jopt.apply_updates(w, updates)
    assert (float(w), float(jopt.evaluation_params(state, w))) == (3.0, 3.25)


def test_a_rule_of_ones_own_may_say_that_it_is_the_last():
    @jopt.transformation(last=True)
    def following():
        return lambda params: params, lambda updates, state, params=None, **extra: (updates, params)

    with pytest.raises(ValueError, match="clip stands behind following"):
        jopt.chain(following(), jopt.clip(1.0))

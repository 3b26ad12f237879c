"""What swept numbers are called in sentences, and which of them are rates."""

import jax.numpy as jnp
import pytest

import jopt
from jopt.results.naming import in_full, is_rate

RATES = jopt.geomspace(1e-3, 1.0, 5)
COSINE = jopt.cosine_decay_schedule(RATES, 20)
PARTED = {"a": jopt.sgd(COSINE), "*": jopt.adam(0.1)}


@pytest.fixture(scope="module")
def swept():
    """Makes a result of an optimizer, each one time."""
    made = {}

    def sweep(optimizer):
        if optimizer not in made:
            params = {"a": jnp.ones(2), "b": jnp.ones(2)}
            made[optimizer] = jopt.sweep(
                lambda w, _: (w["a"] ** 2 + w["b"] ** 2).sum(), params, optimizer, steps=3, progress=False
            )
        return made[optimizer]

    return sweep


CASES = {
    "rate": (jopt.sgd(RATES), "learning_rate", "learning_rate", True),
    "schedule": (jopt.sgd(COSINE), "init_value", "learning_rate.init_value", True),
    "chain": (jopt.chain(jopt.clip(1.0), jopt.sgd(COSINE)), "init_value", "learning_rate.init_value", True),
    "group": (jopt.partition(PARTED, {"a": "a", "b": "*"}), "init_value", "learning_rate.init_value", True),
    "named": (jopt.sgd(jopt.cosine_decay_schedule(jopt.choice(0.1, 0.2, name="r"), 20)), "r", "r", True),
    "steps": (
        jopt.sgd(jopt.cosine_decay_schedule(0.1, jopt.choice(5.0, 9.0))),
        "decay_steps",
        "learning_rate.decay_steps",
        False,
    ),
    "other": (jopt.sgd(0.1, momentum=jopt.choice(0.1, 0.9)), "momentum", "momentum", False),
}


@pytest.mark.parametrize("case", CASES)
def test_a_number_goes_by_the_rate_that_it_is_of_unless_a_user_has_named_it_before_and_after_loading(case, swept, tmp_path):
    optimizer, name, full, rate = CASES[case]
    result = swept(optimizer)
    assert list(result.record.coords) == [name]
    result.save(tmp_path / "a.jopt")
    for each in (result, jopt.load_result(tmp_path / "a.jopt")):
        assert (in_full(each, name), is_rate(each, name)) == (full, rate)


@pytest.mark.parametrize(
    ("case", "said"), [("rate", "use "), ("schedule", "use learning_rate.init_value "), ("named", "use r ")]
)
def test_a_suggestion_says_the_name_in_full(case, said, swept):
    optimizer, *_ = CASES[case]
    told = str(swept(optimizer).suggest())
    assert told.startswith(said)
    assert told.removeprefix(said)[0].isdigit()

"""A lane's keys are those of ``jax.random``, made on the host; a key that nobody reads costs nothing."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jopt
from jopt.engine.compiled import executables
from jopt.engine.program import keys_of
from jopt.engine.running import runtime

NUMBERS = st.integers(0, 2**32 - 1)


def expected(root, seed):
    of_purpose = [jax.random.fold_in(jax.random.key(root, impl="threefry2x32"), purpose) for purpose in (0, 2, 3)]
    return [jax.random.key_data(jax.random.fold_in(key, seed)) for key in of_purpose]


def data(keys):
    return [np.asarray(jax.random.key_data(key)) for key in keys]


@hypothesis.given(root=NUMBERS, seeds=st.lists(NUMBERS, min_size=2, max_size=3))
@hypothesis.settings(max_examples=30)
def test_keys_are_those_of_jax_to_the_bit(root, seeds):
    alone = [data(keys_of(root, np.uint32(seed))) for seed in seeds]
    together = data(keys_of(root, np.asarray(seeds, np.uint32)))
    for i, seed in enumerate(seeds):
        for purpose, wanted in enumerate(expected(np.uint32(root), np.uint32(seed))):
            np.testing.assert_array_equal(alone[i][purpose], wanted)
            np.testing.assert_array_equal(together[purpose][i], wanted)


def test_keys_are_the_same_in_sixty_four_bits():
    wanted = data(keys_of(7, np.uint32(2**32 - 1)))
    with jax.enable_x64(True):
        for found, key in zip(data(keys_of(7, np.uint32(2**32 - 1))), wanted, strict=True):
            np.testing.assert_array_equal(found, key)


def noisy(w, batch, key):
    return jnp.sum(w**2) + jax.random.normal(key)


def drawn(key, step):
    return jax.random.normal(key, (3,))


@pytest.mark.parametrize(
    ("loss", "made", "read"),
    [
        (lambda w, batch: jnp.sum(w**2), None, False),
        (lambda w, batch, key: jnp.sum(w**2), None, False),
        (lambda w, batch: jnp.sum((w - batch) ** 2), drawn, True),
        (noisy, None, True),
    ],
    ids=["no key", "a key that is not read", "batches", "loss"],
)
@pytest.mark.parametrize("seeds", [1, 2])
def test_only_keys_that_are_read_are_in_what_is_compiled(loss, made, read, seeds, monkeypatch):
    texts, real = [], executables._compile

    def kept(lowered, options):
        texts.append(lowered.as_text())
        return real(lowered, options)

    monkeypatch.setattr(executables, "_compile", kept)
    monkeypatch.setattr(runtime, "EXECUTABLES", runtime.Executables())
    optimizer, plan = jopt.sgd(jopt.choice(0.1, 0.2, 0.3)), jopt.Plan(width=3 * seeds, loop="scan", workers=1)
    jopt.sweep(loss, jnp.ones(3), optimizer, made, seeds=seeds, steps=5, plan=plan, progress=False)
    assert any("threefry" in text for text in texts) is read

"""Which batch and which key every step of every lane sees."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jopt
from jopt.engine import machine
from jopt.engine.data.feeding import feed_of
from jopt.engine.data.sources import HostMinibatches
from tests.solo import assert_same_run, lane, run_alone

N = 20
BITS = 2.0 ** np.arange(N, dtype=np.float32)  # sums of them are exact in float32, and name their terms


def masked(w, batch):
    """A loss that records which examples are in its batch: as one number, the sum of their bits."""
    return jnp.mean((w - jnp.log2(batch) / N) ** 2), {"mask": jnp.sum(batch)}


def members(masks):
    """For each mask, the set of its examples."""
    return [{i for i in range(N) if int(mask) >> i & 1} for mask in np.ravel(masks)]


def masks_of(batch_size, steps, rates=(0.1, 0.2), **kwargs):
    result = jopt.sweep(
        masked,
        jnp.float32(0.0),
        jopt.sgd(jopt.choice(*rates)),
        BITS,
        steps=steps,
        batch_size=batch_size,
        has_aux=True,
        **kwargs,
    )
    return result.record.losses["mask"]  # [rate, seed, step]


# Minibatches of arrays


def test_every_example_appears_exactly_once_in_each_epoch():
    masks = masks_of(5, steps=12, seeds=2)
    for seed in range(2):
        for epoch in range(3):
            batches = members(masks[0, seed, 4 * epoch : 4 * epoch + 4])
            assert [len(b) for b in batches] == [5] * 4
            assert set.union(*batches) == set(range(N))


def test_no_example_appears_twice_in_an_epoch_that_the_batch_does_not_divide():
    masks = masks_of(6, steps=6)
    for epoch in range(2):
        batches = members(masks[0, 0, 3 * epoch : 3 * epoch + 3])
        assert [len(b) for b in batches] == [6] * 3
        assert len(set.union(*batches)) == 18


def test_every_epoch_is_shuffled_anew():
    epochs = masks_of(5, steps=20)[0, 0].reshape(5, 4)
    assert len({tuple(epoch) for epoch in epochs}) == 5
    assert members(epochs[0])[0] != set(range(5))  # nor is it the order of the data


def test_all_lanes_of_a_seed_see_the_same_batches_and_seeds_differ():
    masks = masks_of(5, steps=8, rates=(0.1, 0.2, 0.3), seeds=3)
    for seed in range(3):
        np.testing.assert_array_equal(masks[0, seed], masks[1, seed])
        np.testing.assert_array_equal(masks[0, seed], masks[2, seed])
    assert len({tuple(masks[0, seed]) for seed in range(3)}) == 3


def test_a_seed_sees_the_same_batches_alone_and_among_others():
    among = masks_of(5, steps=8, seeds=[3, 0, 7])
    np.testing.assert_array_equal(among[0, 2], masks_of(5, steps=8, seeds=[7])[0, 0])
    np.testing.assert_array_equal(among[0, 1], masks_of(5, steps=8)[0, 0])


def test_the_seed_of_the_sweep_changes_the_batches():
    assert masks_of(5, steps=8, seed=0).tolist() == masks_of(5, steps=8, seed=0).tolist()
    assert masks_of(5, steps=8, seed=0).tolist() != masks_of(5, steps=8, seed=1).tolist()


def test_a_longer_sweep_begins_with_the_batches_of_a_shorter_one():
    np.testing.assert_array_equal(masks_of(5, steps=20)[..., :8], masks_of(5, steps=8))


def test_minibatch_lanes_equal_their_run_alone_on_the_same_batches():
    result = jopt.sweep(masked, jnp.float32(0.0), jopt.adam(jopt.choice(0.1, 0.2)), BITS, steps=9, batch_size=5, has_aux=True)
    batches = [BITS[sorted(b)] for b in members(result.record.losses["mask"][0, 0])]
    wanted = run_alone(lambda w, b: masked(w, b)[0], jnp.float32(0.0), jopt.adam(0.2), batches)
    assert_same_run(lane(result, 1, 0), wanted)


def test_without_a_batch_size_every_step_sees_all_data():
    assert masks_of(None, steps=3).tolist() == [[[2.0**N - 1] * 3]] * 2


def test_a_batch_of_all_examples_is_all_data():
    assert masks_of(N, steps=3).tolist() == [[[2.0**N - 1] * 3]] * 2


def test_the_rows_of_all_leaves_of_the_data_stay_together():
    data = {"x": BITS, "y": [BITS * 2, np.stack([BITS, BITS], 1)]}

    def loss(w, batch):
        off = jnp.abs(batch["y"][0] - 2 * batch["x"]).sum() + jnp.abs(batch["y"][1] - batch["x"][:, None]).sum()
        return w**2, {"off": off}

    result = jopt.sweep(loss, jnp.float32(1.0), jopt.sgd(0.1), data, steps=8, batch_size=5, has_aux=True)
    assert not result.record.losses["off"].any()


def test_integer_data_stay_integers():
    labels = np.arange(6, dtype=np.int32)

    def loss(w, batch):
        assert jnp.issubdtype(batch.dtype, jnp.integer)
        return jnp.mean((w - jnp.eye(6)[batch].sum(0)) ** 2)

    assert np.isfinite(jopt.sweep(loss, jnp.zeros(6), jopt.sgd(0.1), labels, steps=3, batch_size=2).best().score)


# Other sources


def test_without_data_the_batch_is_none():
    def loss(w, batch):
        assert batch is None
        return w**2

    result = jopt.sweep(loss, jnp.float32(1.0), jopt.sgd(jopt.choice(0.1, 0.25)), steps=3)
    np.testing.assert_allclose(result.record.losses["loss"][1, 0], [1.0, 0.25, 0.0625], rtol=1e-6)


def test_a_function_makes_the_batch_of_each_step_from_the_key_of_its_seed():
    def batch(key, step):
        return {"step": step, "noise": jax.random.uniform(key)}

    def loss(w, b):
        return w**2, {"when": b["step"], "noise": b["noise"]}

    swept = jopt.sgd(jopt.choice(0.1, 0.2))
    result = jopt.sweep(loss, jnp.float32(1.0), swept, batch, steps=6, seeds=2, has_aux=True)
    seen = result.record.losses
    assert seen["when"][1, 1].tolist() == [0, 1, 2, 3, 4, 5]
    np.testing.assert_array_equal(seen["noise"][0], seen["noise"][1])
    assert len(np.unique(seen["noise"])) == 12  # a draw for each step and seed


class Loader:
    """Batches that can be passed over many times; counts how often they were."""

    def __init__(self, batches):
        self.batches = batches
        self.passes = 0

    def __iter__(self):
        self.passes += 1
        return iter(self.batches)


def linear(w, batch):
    x, y = batch
    return jnp.mean((x @ w - y) ** 2)


def batches(count, seed=0):
    rng = np.random.default_rng(seed)
    return [(rng.normal(size=(4, 3)).astype(np.float32), rng.normal(size=4).astype(np.float32)) for _ in range(count)]


def test_an_iterable_is_passed_over_again_for_each_epoch():
    loader = Loader(batches(3))
    result = jopt.sweep(linear, jnp.zeros(3), jopt.adam(jopt.choice(0.1, 0.2)), loader, steps=8, seeds=2)
    wanted = run_alone(linear, jnp.zeros(3), jopt.adam(0.2), [loader.batches[t % 3] for t in range(8)])
    assert_same_run(lane(result, 1, 0), wanted)
    assert_same_run(lane(result, 1, 1), wanted)  # the same for every seed
    assert loader.passes == 3


def test_an_iterable_of_jax_arrays_works():
    device = [jax.tree.map(jnp.asarray, b) for b in batches(3)]
    result = jopt.sweep(linear, jnp.zeros(3), jopt.sgd(jopt.choice(0.1, 0.2)), Loader(device), steps=3)
    assert_same_run(lane(result, 0, 0), run_alone(linear, jnp.zeros(3), jopt.sgd(0.1), device))


def test_a_generator_that_lasts_is_enough():
    result = jopt.sweep(linear, jnp.zeros(3), jopt.sgd(jopt.choice(0.1, 0.2)), (b for b in batches(5)), steps=5)
    assert_same_run(lane(result, 1, 0), run_alone(linear, jnp.zeros(3), jopt.sgd(0.2), batches(5)))


def test_an_endless_generator_is_read_no_further_than_needed_for_the_steps():
    read = []

    def endless():
        while True:
            read.append(len(read))
            yield batches(1)[0]

    jopt.sweep(linear, jnp.zeros(3), jopt.sgd(0.1), endless(), steps=5)
    assert 5 <= len(read) <= 16  # a few ahead at most


def test_every_group_sees_the_batches_of_a_generator_from_the_first_on():
    groups = {"a": jopt.sgd(0.1), "b": jopt.adam(0.1)}
    result = jopt.sweep(linear, jnp.zeros(3), groups, (b for b in batches(5)), steps=5)
    assert_same_run(lane(result["a"], 0), run_alone(linear, jnp.zeros(3), jopt.sgd(0.1), batches(5)))
    assert_same_run(lane(result["b"], 0), run_alone(linear, jnp.zeros(3), jopt.adam(0.1), batches(5)))


def test_a_generator_that_runs_out_is_a_clear_error():
    with pytest.raises(ValueError, match=r"data.*ran out"):
        jopt.sweep(linear, jnp.zeros(3), jopt.sgd(0.1), (b for b in batches(3)), steps=4)


def test_an_iterable_without_a_batch_is_a_clear_error():
    with pytest.raises(ValueError, match=r"data.*without a single batch"):
        jopt.sweep(linear, jnp.zeros(3), jopt.sgd(0.1), Loader([]), steps=4)


def test_batches_of_an_iterable_that_differ_in_shape_are_a_clear_error():
    x, y = batches(1)[0]
    with pytest.raises(ValueError, match=r"data.*shape"):
        jopt.sweep(linear, jnp.zeros(3), jopt.sgd(0.1), Loader([(x, y), (x[:2], y[:2])]), steps=4)


def test_an_error_inside_an_iterable_reaches_the_caller_and_leaves_no_thread():
    def breaks():
        yield batches(1)[0]
        raise OSError("the disk is gone")

    before = threading.active_count()
    with pytest.raises(OSError, match="the disk is gone"):
        jopt.sweep(linear, jnp.zeros(3), jopt.sgd(jopt.choice(0.1, 0.2)), breaks(), steps=4)
    assert threading.active_count() == before


def test_batches_are_read_ahead_by_a_thread_that_ends_with_the_sweep():
    readers, main = set(), threading.current_thread()

    def stream():
        for batch in batches(6):
            readers.add(threading.current_thread())
            yield batch

    jopt.sweep(linear, jnp.zeros(3), jopt.sgd(jopt.choice(0.1, 0.2)), stream(), steps=6)
    (reader,) = readers
    assert reader is not main
    assert not reader.is_alive()


def test_a_mistake_in_the_loss_ends_the_thread_that_reads_the_batches():
    before = threading.active_count()
    with pytest.raises(ValueError, match="scalar"):
        jopt.sweep(lambda w, batch: w, jnp.zeros(3), jopt.sgd(0.1), Loader(batches(3)), steps=4)
    assert threading.active_count() == before


def test_an_iterator_is_left_where_the_sweep_ended():
    stream = iter(range(100))
    jopt.sweep(lambda w, batch: (w - batch) ** 2, jnp.float32(0.0), jopt.sgd(0.1), (np.float32(i) for i in stream), steps=7)
    assert next(stream) == 7


def test_arrays_larger_than_the_device_give_the_same_batches_from_the_host(monkeypatch):
    on_device = masks_of(4, 30, seeds=2)
    monkeypatch.setattr(machine, "budget", lambda device: 2.0 * BITS.nbytes - 1)
    assert isinstance(feed_of(BITS, 4, 0, 30), HostMinibatches)
    np.testing.assert_array_equal(masks_of(4, 30, seeds=2), on_device)
    with pytest.raises(ValueError, match=r"data takes.*batch_size"):
        masks_of(None, 3)


def test_data_mapped_from_a_file_are_read_batch_by_batch(monkeypatch, tmp_path):
    np.save(tmp_path / "bits.npy", BITS)
    monkeypatch.setattr(machine, "budget", lambda device: 1.0)
    mapped = np.load(tmp_path / "bits.npy", mmap_mode="r")
    result = jopt.sweep(masked, jnp.float32(0.0), jopt.sgd(0.1), mapped, steps=5, batch_size=4, has_aux=True)
    np.testing.assert_array_equal(np.ravel(result.record.losses["mask"]), masks_of(4, 5, rates=(0.1,)).ravel())


def test_a_data_loader_of_torch_is_an_iterable():
    torch = pytest.importorskip("torch")
    x, y = (np.stack(leaf) for leaf in zip(*batches(3), strict=True))
    x, y = x.reshape(12, 3), y.reshape(12)
    dataset = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    loader = torch.utils.data.DataLoader(dataset, batch_size=4)
    result = jopt.sweep(linear, jnp.zeros(3), jopt.adam(jopt.choice(0.1, 0.2)), loader, steps=7)
    cut = [(x[4 * k : 4 * k + 4], y[4 * k : 4 * k + 4]) for k in range(3)]
    wanted = run_alone(linear, jnp.zeros(3), jopt.adam(0.2), [cut[t % 3] for t in range(7)])
    assert_same_run(lane(result, 1, 0), wanted)


# Keys


def test_a_loss_with_a_key_sees_one_key_for_each_seed_and_step():
    def loss(w, batch, key):
        return w**2, {"draw": jax.random.uniform(key)}

    result = jopt.sweep(loss, jnp.float32(1.0), jopt.sgd(jopt.choice(0.1, 0.2)), steps=5, seeds=3, has_aux=True)
    draws = result.record.losses["draw"]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert len(np.unique(draws)) == 15


def test_lanes_of_one_seed_drop_the_same_units():
    x, y = batches(1)[0]

    def loss(w, batch, key):
        keep = jax.random.bernoulli(key, 0.5, w.shape)
        return linear(jnp.where(keep, 2 * w, 0.0), batch), {"kept": jnp.sum(keep * jnp.array([1.0, 2.0, 4.0]))}

    result = jopt.sweep(loss, jnp.ones(3), jopt.sgd(jopt.choice(0.01, 0.02)), (x, y), steps=16, seeds=2, has_aux=True)
    kept = result.record.losses["kept"]
    np.testing.assert_array_equal(kept[0], kept[1])
    assert kept[0, 0].tolist() != kept[0, 1].tolist()
    masks = [np.array([int(k) >> i & 1 for i in range(3)], np.float32) for k in kept[0, 1]]
    wanted = run_alone(lambda w, m: linear(2 * m * w, (x, y)), jnp.ones(3), jopt.sgd(0.02), masks)
    assert_same_run(lane(result, 1, 1), wanted)


def test_init_gives_every_seed_its_own_parameters_and_every_lane_of_it_the_same():
    swept = jopt.sgd(jopt.choice(0.0, 0.1))
    result = jopt.sweep(linear, lambda key: jax.random.normal(key, (3,)), swept, batches(1)[0], steps=4, seeds=3)
    start = result.params[0]  # a rate of 0 leaves them where they were
    assert len(np.unique(start[:, 0])) == 3
    for seed in range(3):
        wanted = run_alone(linear, jnp.asarray(start[seed]), jopt.sgd(0.1), batches(1) * 4)
        assert_same_run(lane(result, 1, seed), wanted)


def test_initial_parameters_batches_and_keys_are_drawn_apart():
    def loss(w, batch, key):
        return jnp.sum(w) * 0, {"key": jax.random.uniform(key), "batch": batch}

    result = jopt.sweep(
        loss, jax.random.uniform, jopt.sgd(0.0), lambda key, step: jax.random.uniform(key), steps=1, has_aux=True
    )
    drawn = {float(result.params[0]), *(float(result.record.losses[n][0, 0]) for n in ("key", "batch"))}
    assert len(drawn) == 3


# The user's arrays


@pytest.mark.parametrize("width", [1, 2])
def test_parameters_and_data_are_neither_changed_nor_given_away(width):
    params, (x, y) = {"w": jnp.ones(3)}, jax.tree.map(jnp.asarray, batches(1)[0])
    before = jax.tree.map(np.array, (params, x, y))
    for _ in range(2):
        swept = jopt.sgd(jopt.choice(0.1, 0.2))
        jopt.sweep(lambda p, b: linear(p["w"], b), params, swept, (x, y), steps=3, plan=jopt.Plan(width=width))
    jax.tree.map(np.testing.assert_array_equal, jax.tree.map(np.array, (params, x, y)), before)


def test_numpy_parameters_and_data_are_not_changed():
    params, (x, y) = np.ones(3, np.float32), batches(1)[0]
    jopt.sweep(linear, params, jopt.sgd(0.1), (x, y), steps=3, batch_size=2)
    np.testing.assert_array_equal(params, np.ones(3))
    np.testing.assert_array_equal(x, batches(1)[0][0])


def test_the_lanes_share_one_batch_and_never_hold_copies_of_it():
    mapped = []

    @jax.custom_batching.custom_vmap
    def watched(batch):
        return batch

    @watched.def_vmap
    def rule(axis_size, in_batched, batch):
        mapped.append(axis_size)
        return batch, True

    def loss(w, batch):
        return jnp.mean((w - watched(batch)) ** 2)

    swept = jopt.sgd(jopt.geomspace(0.01, 0.1, 8))
    plan = jopt.Plan(width=8)
    for batch_size, seeds in ((None, 1), (5, 1), (None, 2)):
        jopt.sweep(loss, jnp.float32(0.0), swept, BITS, steps=3, batch_size=batch_size, seeds=seeds, plan=plan)
    assert mapped == []  # a batch that were copied for each lane would be mapped over
    jax.vmap(loss)(jnp.zeros(8), jnp.zeros((8, 3)))
    assert mapped == [8]

"""What users hand over is theirs: they may fill the same memory again, and a sweep has read what was there."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jopt
from jopt.engine.data.feeding import feed_of

W = jnp.float32(0.0)
STEPS = 10


def total(w, batch):
    """A loss that records what is in its batch."""
    return jnp.sum(w**2), {"seen": sum(jnp.sum(jnp.asarray(x, jnp.float32)) for x in jax.tree.leaves(batch))}


def seen(data, **kwargs):
    result = jopt.sweep(total, W, jopt.sgd(0.1), data, **{"steps": STEPS, "has_aux": True, **kwargs})
    return result.record.losses["seen"]


def one_buffer():
    buffer = np.zeros(1, np.float32)
    for i in range(STEPS):
        buffer[:] = i
        yield buffer


def dict_of_buffers():
    buffers = {"x": np.zeros(2, np.float32), "y": np.zeros(1, np.int64)}
    for i in range(STEPS):
        buffers["x"][:] = [i, -i]
        buffers["y"][:] = i
        yield buffers  # the dict is one object, too


def nested_buffers():
    buffers = ([np.zeros((2, 2)), {"deep": np.zeros(())}],)
    for i in range(STEPS):
        buffers[0][0].fill(i / 4)
        buffers[0][1]["deep"][...] = 0
        yield buffers


def rows_of_one_array():
    whole = np.zeros((STEPS, 3), np.float32)
    for i in range(STEPS):
        whole[:] = i / 3
        yield whole[i]


def scalars_that_change():
    number = np.zeros((), np.float32)
    for i in range(STEPS):
        number[...] = i
        yield number


def other_types():
    buffer = np.zeros(1, ">f8")
    for i in range(STEPS):
        buffer[:] = i
        yield buffer


def narrow_types():
    buffer = np.zeros(1, jnp.bfloat16)
    for i in range(STEPS):
        buffer[:] = i
        yield buffer


def arrays_of_jax_that_look_at_a_buffer():
    memory = np.zeros(64 + 16, np.uint8)
    begin = -memory.ctypes.data % 64  # such memory is taken without a copy on CPUs
    buffer = memory[begin : begin + 4].view(np.float32)
    for i in range(STEPS):
        buffer[:] = i
        yield jax.device_put(buffer)


BORROWED = [
    one_buffer,
    dict_of_buffers,
    nested_buffers,
    rows_of_one_array,
    scalars_that_change,
    other_types,
    narrow_types,
    arrays_of_jax_that_look_at_a_buffer,
]


@pytest.mark.parametrize("batches", BORROWED)
def test_an_iterable_may_fill_the_memory_of_its_batches_again(batches):
    np.testing.assert_array_equal(seen(batches()).ravel(), np.arange(STEPS))


@pytest.mark.parametrize("batches", BORROWED[:3])
def test_so_it_is_in_windows_in_chunks_in_groups_and_in_blocks_that_wait_for_each_other(batches):
    np.testing.assert_array_equal(seen(batches(), record_every=2).ravel(), np.arange(STEPS).reshape(-1, 2).mean(1))
    for chunk in (1, 3):
        np.testing.assert_array_equal(seen(batches(), plan=jopt.Plan(chunk=chunk)).ravel(), np.arange(STEPS))
    groups = {"a": jopt.sgd(jopt.choice(0.1, 0.2)), "b": jopt.adam(0.1)}
    found = jopt.sweep(
        total, W, groups, batches(), steps=STEPS, has_aux=True, seeds=2, plan=jopt.Plan(width=1, chunk=2, workers=2)
    )
    for name in groups:
        for lane in found[name].record.losses["seen"].reshape(-1, STEPS):
            np.testing.assert_array_equal(lane, np.arange(STEPS))


@pytest.mark.parametrize("kind", ["float32", "bfloat16", "int64"])
def test_views_of_one_tensor_of_torch_are_batches_of_their_own(kind):
    torch = pytest.importorskip("torch")

    def views():
        tensor = torch.zeros(4, 2, dtype=getattr(torch, kind))
        for i in range(STEPS):
            tensor.fill_(i)
            yield {"x": tensor[1, :1], "y": tensor[:0]}

    np.testing.assert_array_equal(seen(views()).ravel(), np.arange(STEPS))


def test_rows_mapped_from_a_file_that_is_written_again_are_batches_of_their_own(tmp_path):
    def mapped():
        rows = np.lib.format.open_memmap(tmp_path / "rows.npy", "w+", np.float32, (2, 1))
        for i in range(STEPS):
            rows[i % 2] = i
            yield rows[i % 2]

    np.testing.assert_array_equal(seen(mapped()).ravel(), np.arange(STEPS))


def aligned(count, value):
    """An array in memory that CPUs would take without a copy."""
    memory = np.empty(4 * count + 64, np.uint8)
    begin = -memory.ctypes.data % 64
    array = memory[begin : begin + 4 * count].view(np.float32)
    array[:] = value
    return array


@pytest.mark.parametrize("batch_size", [None, 4])
def test_arrays_on_the_device_share_no_memory_with_those_that_were_given(batch_size):
    given = {"x": aligned(8, 1.0)}
    feed = feed_of(given, batch_size, 0, 3)
    given["x"][:] = 7.0
    np.testing.assert_array_equal(feed.data["x"], np.ones(8))


@pytest.mark.parametrize("batch_size", [None, 4])
def test_tensors_on_the_device_share_no_memory_with_those_that_were_given(batch_size):
    torch = pytest.importorskip("torch")
    given = torch.from_numpy(aligned(8, 1.0))
    feed = feed_of(given, batch_size, 0, 3)
    given.fill_(7.0)
    np.testing.assert_array_equal(feed.data, np.ones(8))


def test_data_and_parameters_may_change_while_the_sweep_runs():
    params, data = aligned(4, 1.0), aligned(8, 1.0)
    running = threading.Event()

    def spoil():
        running.wait()
        params[:], data[:] = 100.0, 100.0

    def loss(w, batch):
        running.set()  # while it is traced: no lane has begun
        thread.join()
        return jnp.mean((w.sum() - batch) ** 2)

    thread = threading.Thread(target=spoil)
    thread.start()
    result = jopt.sweep(loss, params, jopt.sgd(jopt.choice(0.0, 0.1)), data, steps=2, seeds=2, plan=jopt.Plan(width=1))
    assert params[0] == data[0] == 100.0
    np.testing.assert_array_equal(result.record.losses["loss"][:, :, 0], 9.0)
    np.testing.assert_array_equal(result.params[0], np.ones((2, 4)))  # a rate of 0 leaves them where they were


def test_a_second_sweep_sees_data_and_parameters_as_they_are_then():
    params, data = aligned(1, 0.0), aligned(8, 1.0)
    for value in (1.0, 3.0):
        data[:], params[:] = value, value - 2.0
        result = jopt.sweep(lambda w, b: jnp.mean((w - b) ** 2), params, jopt.sgd(0.1), data, steps=1, batch_size=4)
        assert result.record.losses["loss"].ravel().tolist() == [4.0]


def test_the_order_of_examples_that_is_kept_cannot_be_written_to():
    feed = feed_of(np.arange(8.0), 2, 0, 3)
    rows = feed.rows(0, 0, 3)
    with pytest.raises(ValueError, match="read-only"):
        rows[:] = 0

"""What is taken as data, and as a batch: every kind of array by its numbers, or a sentence that names the leaf."""

import collections
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from jax.experimental import sparse

import jopt
from jopt.engine import machine

W = jnp.float32(0.0)
FEW = np.array([1.0, 1.0, 0.0, 2.0])


def mean(w, batch):
    return w**2, {"seen": jnp.mean(batch.astype(jnp.float32))}


def first_draw(w, batch):
    return w**2, {"seen": jax.random.uniform(batch[0])}


def seen(data, loss=mean, steps=3, **kwargs):
    """What the loss saw at each step."""
    return jopt.sweep(loss, W, jopt.sgd(0.1), data, steps=steps, has_aux=True, **kwargs).record.losses["seen"].ravel()


# Kinds of arrays

TAKEN = {
    "float64": FEW,
    "float16": FEW.astype(np.float16),
    "longdouble": FEW.astype(np.longdouble),
    "bfloat16": FEW.astype(jnp.bfloat16),
    "float8_e4m3fn": FEW.astype(jnp.float8_e4m3fn),
    "float8_e5m2": jnp.asarray(FEW, jnp.float8_e5m2),
    "int64": FEW.astype(np.int64),
    "uint64": FEW.astype(np.uint64),
    "int8": FEW.astype(np.int8),
    "big-endian": FEW.astype(">f8"),
    "big-endian int": FEW.astype(">i4"),
    "series": pd.Series(FEW),
    "column of a frame": pd.DataFrame({"x": FEW, "y": FEW})["x"],
    "frame": pd.DataFrame({"x": FEW, "y": FEW.astype(np.int64)}),
    "strided": np.repeat(FEW, 2)[::2],
}


@pytest.mark.parametrize("kind", TAKEN)
def test_an_array_of_any_numbers_is_taken_as_data(kind):
    np.testing.assert_array_equal(seen(TAKEN[kind]), [1.0, 1.0, 1.0])
    assert set(seen(TAKEN[kind], batch_size=4)) == {1.0}
    assert set(seen((TAKEN[kind], TAKEN[kind]), lambda w, b: mean(w, b[1]), batch_size=2, steps=2)) <= {0.5, 1.0, 1.5}


@pytest.mark.parametrize("kind", TAKEN)
def test_an_array_of_any_numbers_is_taken_from_an_iterable(kind):
    np.testing.assert_array_equal(seen(iter([TAKEN[kind]] * 3)), [1.0, 1.0, 1.0])


@pytest.mark.parametrize("kind", ["bfloat16", "float8_e4m3fn", "big-endian", "int64", "longdouble"])
def test_an_array_of_any_numbers_is_taken_where_it_stays_on_the_host(kind, monkeypatch):
    monkeypatch.setattr(machine, "budget", lambda device: 1.0)
    assert set(seen(TAKEN[kind], batch_size=4)) == {1.0}


@pytest.mark.parametrize("kind", ["bfloat16", "float8_e4m3fn", "float8_e5m2", "int8"])
def test_the_loss_sees_the_type_that_was_given(kind):
    types_seen = []

    def noting(w, batch):
        types_seen.append(batch.dtype)
        return mean(w, batch)

    for data in (TAKEN[kind], iter([TAKEN[kind]] * 3)):
        seen(data, noting)
    assert {str(dtype) for dtype in types_seen} == {kind}


def test_booleans_are_taken():
    np.testing.assert_array_equal(seen(np.array([True, False])), [0.5] * 3)
    np.testing.assert_array_equal(seen(iter([np.array([True, False])] * 3)), [0.5] * 3)


def test_random_keys_are_data(monkeypatch):
    keys = jax.random.split(jax.random.key(0), 4)
    draws = np.asarray(jax.vmap(jax.random.uniform)(keys))
    np.testing.assert_array_equal(seen(keys, first_draw), [draws[0]] * 3)
    cut = seen(keys, first_draw, batch_size=1, steps=4)
    np.testing.assert_array_equal(np.sort(cut), np.sort(draws))
    np.testing.assert_array_equal(seen((keys[i : i + 1] for i in range(4)), first_draw, steps=4), draws)
    monkeypatch.setattr(machine, "budget", lambda device: 1.0)
    beside = lambda w, b: first_draw(w, b["key"])  # noqa: E731
    np.testing.assert_array_equal(seen({"key": keys, "x": FEW}, beside, batch_size=1, steps=4), cut)  # from the host


def test_matrices_of_jax_that_are_sparse_are_data_whole_and_in_iterables_but_are_not_cut():
    matrix = sparse.BCOO.fromdense(jnp.eye(4)[:, :3])
    total = lambda w, b: (w**2, {"seen": jnp.sum(b[0].todense()) + jnp.sum(b[1])})  # noqa: E731
    np.testing.assert_array_equal(seen((matrix, FEW), total), [7.0] * 3)
    np.testing.assert_array_equal(seen(iter([(matrix, FEW)] * 3), total), [7.0] * 3)
    with pytest.raises(TypeError, match=r"data: the leaf at \[0\] is a sparse matrix \(BCOO\).*cut into batches"):
        seen((matrix, FEW), total, batch_size=2)


class ByProtocol:
    """An array of somebody else's, known by one protocol."""

    def __init__(self, name, array):
        self.array = array
        setattr(type(self), name, getattr(type(self), "_" + name.strip("_")))

    def _array(self, dtype=None, copy=None):
        return self.array

    def _dlpack(self, **kwargs):
        return self.array.__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


@pytest.mark.parametrize("name", ["__array__", "__dlpack__"])
def test_arrays_of_others_are_read_by_protocol(name):
    given = type("Foreign", (ByProtocol,), {})(name, FEW)
    np.testing.assert_array_equal(seen((given,), lambda w, b: mean(w, b[0])), [1.0] * 3)
    np.testing.assert_array_equal(seen(iter([given] * 3)), [1.0] * 3)


@pytest.mark.parametrize(
    "kind", ["float32", "float64", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "int64", "uint8", "bool"]
)
def test_tensors_of_torch_are_data_of_every_type(kind, monkeypatch):
    torch = pytest.importorskip("torch")
    tensor = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).to(getattr(torch, kind)).T
    np.testing.assert_array_equal(seen(tensor), [0.5] * 3)
    np.testing.assert_array_equal(seen({"x": tensor}, lambda w, b: mean(w, b["x"]), batch_size=1), [0.5] * 3)
    np.testing.assert_array_equal(seen(iter([tensor] * 3)), [0.5] * 3)
    monkeypatch.setattr(machine, "budget", lambda device: 1.0)
    np.testing.assert_array_equal(seen(tensor, batch_size=1), [0.5] * 3)


def test_tensors_of_torch_that_need_a_gradient_are_data():
    torch = pytest.importorskip("torch")
    np.testing.assert_array_equal(seen(torch.ones(3, requires_grad=True)), [1.0] * 3)
    np.testing.assert_array_equal(seen(iter([torch.nn.Parameter(torch.ones(3))] * 3)), [1.0] * 3)


def test_tensors_of_torch_without_numbers_are_refused_by_path():
    torch = pytest.importorskip("torch")
    for tensor in (torch.eye(3).to_sparse(), torch.ones(3, device="meta")):
        with pytest.raises(TypeError, match=r"data: the leaf at \['x'\] is a Tensor that can't be read"):
            seen({"x": tensor})
        with pytest.raises(TypeError, match=r"data: batch 0 .*the leaf at \['x'\] is a Tensor"):
            seen(iter([{"x": tensor}]))


# What is refused

REFUSED = {
    "sparse of SciPy": (scipy.sparse.eye(4, format="csr"), TypeError, r"sparse matrix.*toarray"),
    "objects": (np.array([1, 2, 3, None], object), TypeError, r"array of Python objects.*astype"),
    "mixed frame": (pd.DataFrame({"x": FEW, "y": list("abcd")}), TypeError, r"DataFrame.*to_numpy\(np.float32\)"),
    "series with gaps": (pd.Series([1, 2, 3, "?"]), TypeError, r"Series.*to_numpy"),
    "structured": (np.zeros(4, [("a", "f4"), ("b", "i4")]), TypeError, r"structured array.*'a', 'b'.*dict"),
    "void": (np.zeros(4, "V4"), TypeError, r"V4.*no numbers"),
    "text": (np.array(list("abcd")), TypeError, r"text.*numbers"),
    "bytes": (np.array([b"a", b"b", b"c", b"d"]), TypeError, r"text.*numbers"),
    "dates": (np.arange(4).astype("M8[s]"), TypeError, r"datetime64\[s\].*timedelta64"),
    "durations": (np.arange(4).astype("m8[s]"), TypeError, r"timedelta64\[s\].*numbers"),
    "masked": (np.ma.array(FEW, mask=[0, 0, 1, 0]), ValueError, r"masked array.*lose its mask.*filled"),
    "masked nowhere": (np.ma.array(FEW), ValueError, r"masked array.*lose its mask"),
    "an object": (object(), TypeError, r"is a object, which holds no numbers"),
    "a string": ("abcd", TypeError, r"is text \(str\)"),
    "int64": (np.array([0, 0, 0, 2**31]), ValueError, r"holds 2147483648.*int32.*jax_enable_x64"),
    "negative int64": (np.array([0, 0, 0, -(2**31) - 1]), ValueError, r"holds -2147483649.*int32"),
    "uint64": (np.array([0, 0, 0, 2**63], np.uint64), ValueError, r"holds 9223372036854775808.*uint32"),
    "big-endian int64": (np.array([0, 0, 0, 2**40], ">i8"), ValueError, r"holds 1099511627776.*int32"),
    "series of int64": (pd.Series([0, 0, 0, 2**40]), ValueError, r"holds 1099511627776.*int32"),
}


@pytest.mark.parametrize("batch_size", [None, 2])
@pytest.mark.parametrize("kind", REFUSED)
def test_data_that_are_no_numbers_or_would_change_are_refused_by_path(kind, batch_size):
    data, error, sentence = REFUSED[kind]
    with pytest.raises(error, match=rf"^data: the leaf at \['x'\]\['deep'\] .*{sentence}"):
        seen({"x": {"deep": data}, "y": FEW}, batch_size=batch_size)


@pytest.mark.parametrize("kind", REFUSED)
def test_batches_that_are_no_numbers_or_would_change_are_refused_by_number_and_path(kind):
    data, error, sentence = REFUSED[kind]
    good = np.zeros(4, getattr(data, "dtype", None) if "int64" in kind else np.float32)
    with pytest.raises(error, match=rf"^data: batch 2 of the iterable \(counted from 0\): the leaf at \['x'\] .*{sentence}"):
        seen(iter([{"x": good}, {"x": good}, {"x": data}]), lambda w, b: mean(w, b["x"]))


@pytest.mark.parametrize("kind", ["int64", "negative int64", "uint64"])
def test_whole_numbers_that_do_not_fit_are_refused_where_they_stay_on_the_host(kind, monkeypatch):
    monkeypatch.setattr(machine, "budget", lambda device: 1.0)
    data, error, sentence = REFUSED[kind]
    with pytest.raises(error, match=rf"^data: the leaf at \['x'\] .*{sentence}"):
        seen({"x": data}, lambda w, b: mean(w, b["x"]), batch_size=4)


def test_whole_numbers_to_the_ends_of_32_bits_are_taken():
    for ends in (np.array([-(2**31), 2**31 - 1]), np.array([0, 2**32 - 1], np.uint64)):
        exact = lambda w, b, ends=ends: (w**2, {"seen": jnp.all(b == ends.astype(b.dtype))})  # noqa: E731
        assert seen(ends, exact).all()
        assert seen(iter([ends] * 3), exact).all()


@pytest.mark.usefixtures("x64")
def test_whole_numbers_of_64_bits_are_taken_where_they_are_on():
    big = np.array([2**40, 2**40 + 1])
    odd = lambda w, b: (w**2, {"seen": jnp.sum(b - 2**40).astype(jnp.float32)})  # noqa: E731
    np.testing.assert_array_equal(seen(big, odd), [1.0] * 3)
    np.testing.assert_array_equal(seen(iter([big] * 3), odd), [1.0] * 3)


def test_train_refuses_whole_numbers_that_do_not_fit():
    with pytest.raises(ValueError, match=r"batches: the leaf at \['id'\] holds 1099511627776.*int32"):
        jopt.train(lambda w, b: w * b["id"], W, jopt.sgd(0.1), {"id": np.array([1, 2**40])})


@pytest.mark.parametrize("lists", [([1.0, 2.0],), {"x": [1, 2]}, (FEW, [1, 2])])
def test_lists_of_numbers_inside_data_are_refused_with_what_to_give(lists):
    with pytest.raises(TypeError, match=r"data: the leaf at .* is a (float|int); give arrays \(np.asarray of a list"):
        seen(lists)


def test_mappings_that_jax_does_not_know_are_refused_with_what_to_give(tmp_path):
    np.savez(tmp_path / "data.npz", x=FEW)
    with np.load(tmp_path / "data.npz") as file:
        for mapping in (types.MappingProxyType({"x": FEW}), collections.UserDict(x=FEW), file):
            with pytest.raises(TypeError, match=r"data: the leaf at \(root\) is a .*give dict\(x\)"):
                seen(mapping)


def test_masked_parameters_are_refused_and_big_endian_ones_are_taken():
    with pytest.raises(ValueError, match=r"the leaf at \['w'\] is a masked array, which would lose its mask"):
        jopt.sweep(lambda p, b: jnp.sum(p["w"] ** 2), {"w": np.ma.array(FEW)}, jopt.sgd(0.1), steps=1)
    result = jopt.sweep(lambda w, b: jnp.sum(w**2), FEW.astype(">f4"), jopt.sgd(0.0), steps=1)
    np.testing.assert_array_equal(result.best().params, FEW)


# A list is a stream


def test_a_list_is_a_stream_of_batches():
    np.testing.assert_array_equal(seen([FEW + i for i in range(3)], steps=5), [1.0, 2.0, 3.0, 1.0, 2.0])
    np.testing.assert_array_equal(seen([1.0, 2.0], lambda w, b: (w**2, {"seen": b})), [1.0, 2.0, 1.0])


def test_tuples_and_dicts_are_data_and_lists_inside_them_are_parts():
    total = lambda w, b: (w**2, {"seen": sum(jnp.sum(x) for x in jax.tree.leaves(b))})  # noqa: E731
    for data in ((FEW, FEW), {"x": FEW, "y": FEW}, ([FEW, FEW],), {"x": [FEW, FEW]}):
        np.testing.assert_array_equal(seen(data, total), [8.0] * 3)


def test_batches_may_be_lists_as_those_of_data_loaders_are():
    total = lambda w, b: (w**2, {"seen": jnp.sum(b[0]) + b[1]})  # noqa: E731
    np.testing.assert_array_equal(seen([[FEW, 1], [FEW, 2]], total), [5.0, 6.0, 5.0])


def test_a_list_with_a_batch_size_is_refused_with_what_to_give():
    for data in ([FEW, FEW], [1.0, 2.0], []):
        with pytest.raises(ValueError, match=r"batch_size=.*a list is a stream of batches; give a tuple or a dict"):
            seen(data, batch_size=2)


def test_a_list_that_was_meant_as_a_pair_is_refused_with_what_to_give():
    with pytest.raises(ValueError, match=r"batch 1.*\(4,\).*\(4, 3\) in the first.*A list is a stream.*a tuple or a dict"):
        seen([np.ones((4, 3)), np.ones(4)])


# Batches that are not like the first

X, Y = np.ones((4, 3), np.float32), np.ones(4, np.float32)
OTHER = {
    "fewer": ((X[:2], Y[:2]), r"the leaf at \[0\] is float32 of shape \(2, 3\), but .*\(4, 3\).*drop_last=True"),
    "more": ((X, np.ones(5, np.float32)), r"the leaf at \[1\] is float32 of shape \(5,\), but .*\(4,\) in the first"),
    "type": ((X, Y.astype(np.int32)), r"the leaf at \[1\] is int32 of shape \(4,\), but float32"),
    "dimensions": ((X, Y[:, None]), r"the leaf at \[1\] is float32 of shape \(4, 1\), but float32 of shape \(4,\)"),
    "structure": ((X, Y, Y), r"structure PyTreeDef\(\(\*, \*, \*\)\), but the first batch has PyTreeDef\(\(\*, \*\)\)"),
    "none": ((X, None), r"structure"),
}


@pytest.mark.parametrize("chunk", [1, 3, None])
@pytest.mark.parametrize("at", [1, 2, 3])
@pytest.mark.parametrize("kind", OTHER)
def test_a_batch_unlike_the_first_is_named_wherever_it_falls_in_a_chunk(kind, at, chunk):
    other, sentence = OTHER[kind]
    given = [(X, Y)] * at + [other]
    with pytest.raises(ValueError, match=rf"data: batch {at} of the iterable \(counted from 0\): .*{sentence}"):
        jopt.sweep(lambda w, b: jnp.sum(w**2), W, jopt.sgd(0.1), iter(given), steps=4, plan=jopt.Plan(chunk=chunk))


def test_a_batch_unlike_the_first_is_named_in_a_later_pass():
    class Growing:
        passes = 0

        def __iter__(self):
            self.passes += 1
            return iter([X, X if self.passes == 1 else X[:2]])

    with pytest.raises(ValueError, match=r"data: batch 1 of the iterable.*\(2, 3\)"):
        seen(Growing(), steps=6)


def test_batches_of_two_widths_of_one_type_are_alike():
    given = [Y.astype(np.float64), Y, Y.astype(np.float64)]  # float32 for JAX, all of them
    np.testing.assert_array_equal(seen(iter(given)), [1.0] * 3)


def test_nothing_of_torch_is_imported_for_the_arrays_of_others():
    if "torch" in sys.modules:
        pytest.skip("torch was imported by another test")
    seen(FEW)
    assert "torch" not in sys.modules

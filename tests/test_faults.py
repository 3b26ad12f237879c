"""A sample of what ``python -m tests.faults`` does: faults at single changes to the files of a checkpoint."""

import errno

import pytest

from tests import faults


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Sweeps with faults."""
    if faults.compiled(tmp_path_factory.mktemp("library")) is None:
        pytest.skip("no Linux, or no C compiler")
    with faults.Faults("plain") as made:
        yield made


@pytest.fixture(scope="module")
def changes(plain):
    """What such a sweep does to its files."""
    return plain.changes()


def places(changes, whats):
    """The number of the last change of each kind, and one in the middle."""
    numbers = {line.split()[0]: at for at, line in enumerate(changes, 1)}
    return [numbers[what] for what in whats]


def test_it_changes_its_files_in_every_way_and_at_most_400_times(changes):
    assert {line.split()[0] for line in changes} == {"mkdir", "make", "write", "truncate", "sync", "rename", "unlink"}
    assert len(changes) <= 400


def test_a_sweep_that_is_killed_at_a_change_goes_on_to_the_same_result(plain, changes):
    for at in (1, *places(changes[: len(changes) // 2], ["rename", "sync", "write", "unlink"])):
        assert plain.ended(faults.KILL, at) == ([], True), changes[at - 1]


def test_so_does_one_that_is_killed_in_the_midst_of_a_write_or_loses_its_power(plain, changes):
    half = len(changes) // 2
    for how in (faults.TORN, faults.CUT):
        (at,) = places(changes[:half], ["write"])
        assert plain.ended(how, at) == ([], True), (how, changes[at - 1])


def test_a_disk_that_fails_at_a_change_loses_nothing_that_was_saved(plain, changes):
    first, late = places(changes[:60], ["sync"])[0], places(changes[: 2 * len(changes) // 3], ["write"])[0]
    assert plain.failing(faults.BROKEN, first, errno.ENOSPC) == ([], "an error")
    assert plain.failing(faults.FAILS, late, errno.EIO)[0] == []

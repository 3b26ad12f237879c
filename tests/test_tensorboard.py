"""Runs for TensorBoard, read back as TensorBoard does."""

import dataclasses
import sys

import jax.numpy as jnp
import numpy as np
import pytest

import jopt
from jopt.results import GroupedResult, scores
from tests.test_results_record import record, result

pytest.importorskip("tensorboardX")
multiplexers = pytest.importorskip("tensorboard.backend.event_processing.plugin_event_multiplexer")
tensor_util = pytest.importorskip("tensorboard.util.tensor_util")

NAMES = ("0.001", "0.01", "0.1", "1")


def read(folder):
    """The runs below a directory by name, each with its scalars."""
    found = multiplexers.EventMultiplexer(tensor_size_guidance={"scalars": 0}).AddRunsFromDirectory(str(folder))
    found.Reload()
    return {name: found.GetAccumulator(name) for name in found.Runs()}


def scalars(run, tag):
    return {event.step: pytest.approx(float(tensor_util.make_ndarray(event.tensor_proto))) for event in run.Tensors(tag)}


def tags(run):
    return run.Tags()["tensors"]


def hparams(run, tag):
    from tensorboard.plugins.hparams import metadata

    content = run.SummaryMetadata(tag).plugin_data.content
    parse = {
        metadata.EXPERIMENT_TAG: metadata.parse_experiment_plugin_data,
        metadata.SESSION_START_INFO_TAG: metadata.parse_session_start_info_plugin_data,
        metadata.SESSION_END_INFO_TAG: metadata.parse_session_end_info_plugin_data,
    }
    return parse[tag](content)


def start(run):
    return hparams(run, "_hparams_/session_start_info")


def numbers(run):
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in start(run).hparams.items()}


def status(run):
    return hparams(run, "_hparams_/session_end_info").status


def test_every_setting_is_a_run_with_its_curves(tmp_path):
    rec = record([4.0, 3.0, 2.0], seeds=1)
    result(rec).to_tensorboard(tmp_path / "runs")
    runs = read(tmp_path / "runs")
    assert set(runs) == {".", *(f"learning_rate={name}" for name in NAMES[:3])}
    for i, name in enumerate(NAMES[:3]):
        run = runs[f"learning_rate={name}"]
        assert scalars(run, "loss") == dict(zip(rec.step.tolist(), rec.losses["loss"][i, 0].tolist(), strict=True))
        assert scalars(run, "accuracy") == dict(
            zip(rec.eval_step.tolist(), rec.metrics["accuracy"][i, 0].tolist(), strict=True)
        )


def test_the_final_scores_are_those_of_best(tmp_path):
    made = result(record([4.0, 1.0, 2.0], noise=0.5, steps=40))
    made.to_tensorboard(tmp_path)
    runs, best = read(tmp_path), made.best("loss")
    for seed in (0, 1):
        assert scalars(runs[f"learning_rate=0.01/seed={seed}"], "final/loss") == {120: best.scores[seed]}
    expected = scores.score(made.record, scores.Ranking("accuracy", "max", "last")).per_seed[1, 0]
    assert scalars(runs["learning_rate=0.01/seed=0"], "final/accuracy") == {120: expected}


def test_seeds_are_sessions_of_one_group(tmp_path):
    result(record([[4.0, 1.0], [2.0, 3.0]], seeds=3)).to_tensorboard(tmp_path)
    runs = read(tmp_path)
    assert len(runs) == 1 + 4 * 3
    for name, run in runs.items():
        if name != ".":
            assert start(run).group_name == name.rpartition("/")[0]
    assert numbers(runs["learning_rate=0.01,b1=0.5/seed=2"]) == {"learning_rate": 0.01, "b1": 0.5}


def test_the_table_has_a_column_for_each_number_and_each_final_score(tmp_path):
    coords = {"learning_rate": ("learning_rate", np.array([0.1, 0.01])), "nesterov": ("nesterov", np.array([False, True]))}
    result(record([[4.0, 1.0], [2.0, 3.0]], coords=coords)).to_tensorboard(tmp_path)
    experiment = hparams(read(tmp_path)["."], "_hparams_/experiment")
    rate, nesterov = experiment.hparam_infos
    assert (rate.name, rate.domain_interval.min_value, rate.domain_interval.max_value) == ("learning_rate", 0.01, 0.1)
    assert (nesterov.name, [value.bool_value for value in nesterov.domain_discrete.values]) == ("nesterov", [False, True])
    assert rate.differs
    assert nesterov.differs
    assert [info.name.tag for info in experiment.metric_infos] == ["final/loss", "final/norm", "final/accuracy"]


def test_none_beside_numbers_and_names_are_strings(tmp_path):
    coords = {"momentum": ("momentum", np.array([None, 0.5, 0.9], object)), "rule": ("rule", np.array(["relu", "tanh"]))}
    result(record(np.ones((3, 2)), seeds=1, coords=coords)).to_tensorboard(tmp_path)
    runs = read(tmp_path)
    assert numbers(runs["momentum=None,rule=relu"]) == {"momentum": "None", "rule": "relu"}
    assert numbers(runs["momentum=0.9,rule=tanh"]) == {"momentum": "0.9", "rule": "tanh"}
    domain = hparams(runs["."], "_hparams_/experiment").hparam_infos[0].domain_discrete
    assert [value.string_value for value in domain.values] == ["None", "0.5", "0.9"]


def test_what_diverged_failed_and_has_no_final_score_in_any_seed(tmp_path):
    result(record([4.0, 1.0], diverged=[(0, 1)])).to_tensorboard(tmp_path)
    runs = read(tmp_path)
    assert [status(runs[f"learning_rate=0.001/seed={seed}"]) for seed in (0, 1)] == [1, 2]
    assert [status(runs[f"learning_rate=0.01/seed={seed}"]) for seed in (0, 1)] == [1, 1]
    for seed in (0, 1):
        assert "final/loss" not in tags(runs[f"learning_rate=0.001/seed={seed}"])
        assert "final/loss" in tags(runs[f"learning_rate=0.01/seed={seed}"])


def test_the_curve_of_what_was_pruned_ends_there(tmp_path):
    rec = record([4.0, 1.0], seeds=1)
    at, done = rec.pruned_at.copy(), rec.steps_done.copy()
    at[0], done[0], rec.losses["loss"][0, :, 2:] = 6.0, 6, np.nan
    rec.metrics["accuracy"][0, :, 1:] = np.nan
    result(dataclasses.replace(rec, pruned_at=at, steps_done=done)).to_tensorboard(tmp_path)
    runs = read(tmp_path)
    assert list(scalars(runs["learning_rate=0.001"], "loss")) == [3, 6]
    assert "final/loss" not in tags(runs["learning_rate=0.001"])
    assert list(scalars(runs["learning_rate=0.01"], "loss")) == [3, 6, 9, 12, 15]


def test_groups_are_directories_and_a_hyperparameter(tmp_path):
    made = GroupedResult({"plain: sgd": result(record([4.0, 1.0], seeds=1)), "adam": result(record([[2.0, 3.0]], seeds=1))})
    made.to_tensorboard(tmp_path)
    runs = read(tmp_path)
    assert numbers(runs["plain_ sgd/learning_rate=0.01"]) == {"group": "plain: sgd", "learning_rate": 0.01}
    assert numbers(runs["adam/learning_rate=0.001,b1=0.9"]) == {"group": "adam", "learning_rate": 0.001, "b1": 0.9}
    names = [info.name for info in hparams(runs["."], "_hparams_/experiment").hparam_infos]
    assert names == ["group", "learning_rate", "b1"]


def test_settings_that_read_the_same_have_directories_of_their_own(tmp_path):
    coords = {"learning_rate": ("learning_rate", np.array([0.10001, 0.10002, 0.1]))}
    result(record([1.0, 2.0, 3.0], seeds=1, coords=coords)).to_tensorboard(tmp_path)
    runs = read(tmp_path)
    assert set(runs) == {".", "learning_rate=0.1", "learning_rate=0.1_2", "learning_rate=0.1_3"}
    assert numbers(runs["learning_rate=0.1_2"]) == {"learning_rate": 0.10002}


def test_names_that_paths_give_a_meaning_stay_in_the_directory(tmp_path):
    coords = {
        "../x/y": ("../x/y", np.array(["../../etc", "."])),
        **{f"n{'o' * 90}{i}": (f"d{i}", np.array([1.0])) for i in range(3)},
    }
    result(record([[[[1.0]]], [[[2.0]]]], seeds=1, coords=coords)).to_tensorboard(tmp_path / "a")
    assert {path.name for path in tmp_path.iterdir()} == {"a"}
    assert len([name for name in read(tmp_path / "a") if name != "."]) == 2
    assert max(len(path.name) for path in (tmp_path / "a").iterdir()) < 255


def test_one_setting_is_a_run_too(tmp_path):
    result(record(2.0, seeds=1)).to_tensorboard(tmp_path)
    assert set(read(tmp_path)) == {".", "run"}


def test_nothing_is_overwritten(tmp_path):
    made = result(record([4.0, 1.0]))
    made.to_tensorboard(tmp_path / "runs")
    before = {path: path.read_bytes() for path in (tmp_path / "runs").rglob("*") if path.is_file()}
    with pytest.raises(FileExistsError, match=r"holds .* already; give a new or an empty directory"):
        made.to_tensorboard(tmp_path / "runs")
    assert before == {path: path.read_bytes() for path in (tmp_path / "runs").rglob("*") if path.is_file()}
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError, match="is a file; give a directory"):
        made.to_tensorboard(tmp_path / "file")


def test_the_hparams_table_of_tensorboard_itself_reads_it(tmp_path):
    """The plugin's own code: sessions grouped, seeds averaged, missing scores missing."""
    from tensorboard.backend.event_processing import data_provider
    from tensorboard.context import RequestContext
    from tensorboard.plugins import base_plugin
    from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

    made = result(record([4.0, 1.0, 2.0], noise=0.5, diverged=[(2, 0)]))
    made.to_tensorboard(tmp_path)
    multiplexer = multiplexers.EventMultiplexer().AddRunsFromDirectory(str(tmp_path))
    multiplexer.Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, str(tmp_path))
    context = backend_context.Context(base_plugin.TBContext(data_provider=provider))
    request = api_pb2.ListSessionGroupsRequest(
        start_index=0,
        slice_size=10,
        aggregation_type=api_pb2.AGGREGATION_AVG,
        allowed_statuses=[api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE],
    )
    found = list_session_groups.Handler(RequestContext(), context, "", request).run()
    table = {group.hparams["learning_rate"].number_value: group for group in found.session_groups}
    assert sorted(table) == [0.001, 0.01, 0.1]
    values = {m.name.tag: m.value for m in table[0.01].metric_values}
    assert values["final/loss"] == pytest.approx(made.best("loss").score)
    assert "final/loss" not in {m.name.tag for m in table[0.1].metric_values}


def test_a_sweep_is_written_before_and_after_loading(tmp_path):
    optimizers = {"sgd": jopt.sgd(jopt.geomspace(0.01, 0.1, 3)), "adam": jopt.adam(0.1)}
    made = jopt.sweep(lambda w, _: (w**2).sum(), jnp.ones(3, jnp.bfloat16), optimizers, steps=6, progress=False)
    made.save(tmp_path / "a.jopt")
    for i, each in enumerate((made, jopt.load_result(tmp_path / "a.jopt"))):
        each.to_tensorboard(tmp_path / str(i))
    first, second = read(tmp_path / "0"), read(tmp_path / "1")
    assert set(first) == set(second) == {".", "adam/run", *(f"sgd/learning_rate={x}" for x in ("0.01", "0.0316", "0.1"))}
    plain = {step: each.expected for step, each in scalars(second["adam/run"], "loss").items()}
    assert scalars(first["adam/run"], "loss") == plain


def test_without_tensorboardx_a_sentence_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r'python -m pip install "jopt\[tensorboard\]"'):
        result(record([1.0])).to_tensorboard(tmp_path / "new")
    assert not (tmp_path / "new").exists()

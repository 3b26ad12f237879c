"""The examples with other people's models run, find something, and what they warn of does go wrong."""

import importlib
import inspect
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jopt

pytest.importorskip("sklearn")

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
MODELS = (
    "flax_batch_norm_dropout",
    "flax_nnx",
    "flax_cnn_muon",
    "equinox_model",
    "torch_data_loader",
    "two_optimizer_game",
    "per_layer_rates",
    "cross_validation",
    "language_model",
)
UNTRAINED = float(np.log(10))  # the loss of ten digits, all as likely


def _example(name):
    return importlib.import_module(f"examples.{name}")


@pytest.mark.parametrize("name", MODELS)
def test_a_model_takes_less_than_sixty_lines_and_says_first_what_goes_wrong(name):
    source = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    assert sum(1 for line in source.splitlines() if line.strip()) < 60
    assert "\n\nWhat goes wrong first: " in source


@pytest.mark.parametrize("name", MODELS)
def test_the_list_says_what_to_write_for_each_model(name):
    rows = [row for row in (EXAMPLES / "README.md").read_text(encoding="utf-8").splitlines() if f"({name}.py)" in row]
    assert len(rows) == 1
    assert rows[0].count("|") == 4


def test_linen_trains_with_running_means_in_the_carry(capsys):
    pytest.importorskip("flax")
    result = _example("flax_batch_norm_dropout").main(rates=3, steps=60, seeds=1)
    best = result.best()
    assert best.score > 0.8
    _, stats, _ = best.params
    assert np.abs(stats["BatchNorm_0"]["mean"]).max() > 0
    assert "val_accuracy" in capsys.readouterr().out


def test_running_means_that_are_swept_as_parameters_stay_where_they_began():
    pytest.importorskip("flax")
    net = _example("flax_batch_norm_dropout").Net()

    def loss(variables, batch):
        out, _ = net.apply(variables, batch, train=True, mutable=["batch_stats"], rngs={"dropout": jax.random.key(0)})
        return (out**2).mean()

    variables = net.init(jax.random.key(0), jnp.zeros((1, 64)), train=False)
    result = jopt.sweep(loss, variables, jopt.sgd(0.1), jnp.ones((4, 64)) + jnp.arange(4)[:, None], steps=3)
    np.testing.assert_array_equal(result.best().params["batch_stats"]["BatchNorm_0"]["mean"], 0.0)


def test_nnx_trains_split_and_merged(capsys):
    pytest.importorskip("flax")
    result = _example("flax_nnx").main(rates=3, steps=60, seeds=2)
    assert result.dataset.val_loss.shape == (3, 2, 21)
    assert result.best().score < UNTRAINED / 2
    assert "right: " in capsys.readouterr().out


def test_an_nnx_model_from_outside_must_not_change_inside_the_loss():
    nnx, errors = pytest.importorskip("flax.nnx"), pytest.importorskip("flax.errors")
    model = _example("flax_nnx").Net(nnx.Rngs(0))

    def loss(params, images):
        nnx.update(model, params)
        return (model(images) ** 2).mean()

    with pytest.raises(errors.TraceContextError, match="different trace level"):
        jopt.sweep(loss, nnx.state(model, nnx.Param), jopt.sgd(0.1), jnp.ones((4, 64)), steps=2)


def test_muon_has_the_hidden_kernels_of_a_network_and_adamw_the_rest(tmp_path, capsys):
    pytest.importorskip("flax")
    pytest.importorskip("mlxtend")
    pytest.importorskip("matplotlib")
    result = _example("flax_cnn_muon").main(rates=2, steps=20, seeds=1, examples=100, out=tmp_path)
    assert dict(result["muon"].dataset.val_loss.sizes) == {"muon_rate": 2, "adam_rate": 2, "seed": 1, "eval_step": 2}
    final = result["muon"].dataset.val_loss.isel(seed=0, eval_step=-1)
    assert (final.isel(adam_rate=0) != final.isel(adam_rate=1)).all()
    assert [path.name for path in tmp_path.iterdir()] == ["flax_cnn_muon.png"]
    assert "compared with adamw" in capsys.readouterr().out


def test_which_layers_are_muons_is_said_by_patterns_which_fit_a_state_too():
    nnx = pytest.importorskip("flax.nnx")
    pytest.importorskip("mlxtend")
    made = _example("flax_cnn_muon")
    params = nnx.split(made.Net(nnx.Rngs(0)))[1]
    state = jax.eval_shape(jopt.muon(0.1, outputs="columns", matrices=made.HIDDEN).init, params)
    shapes = [{leaf.shape for leaf in jax.tree.leaves(part) if leaf.ndim > 1} for part in state]
    assert shapes == [{(25, 8), (72, 16), (784, 32)}, {(32, 10)}]
    with pytest.raises(ValueError, match="prefix of the parameter tree"):
        jax.eval_shape(jopt.muon(0.1, matrices={layer: layer != "head" for layer in params}).init, params)


def test_equinox_trains_partitioned(capsys):
    pytest.importorskip("equinox")
    result = _example("equinox_model").main(rates=3, steps=60, seeds=1)
    assert dict(result.dataset.val_loss.sizes) == {"learning_rate": 3, "weight_decay": 2, "seed": 1, "eval_step": 21}
    assert result.best().score < UNTRAINED / 2
    assert "right: " in capsys.readouterr().out


def test_an_equinox_model_with_its_functions_is_refused():
    pytest.importorskip("equinox")
    model = _example("equinox_model").make(jax.random.key(0))
    with pytest.raises((TypeError, ValueError), match="activation"):
        jopt.sweep(lambda model, x: model(x[0]).sum(), model, jopt.sgd(0.1), jnp.ones((4, 64)), steps=2)


def test_a_loader_of_torch_is_data():
    pytest.importorskip("torch")
    result = _example("torch_data_loader").main(rates=3, steps=40, seeds=2)
    assert result.dataset.loss.shape == (3, 2, 40)
    assert result.best().score < UNTRAINED / 2


def test_the_smaller_last_batch_of_a_loader_is_refused_with_what_to_do():
    torch = pytest.importorskip("torch")
    loader = torch.utils.data.DataLoader(torch.ones(10, 2), batch_size=4)
    with pytest.raises(ValueError, match="drop_last=True"):
        jopt.sweep(lambda w, batch: (w * batch).sum(), jnp.ones(2), jopt.sgd(0.1), loader, steps=4)


def test_two_players_train_with_an_optimizer_each():
    result = _example("two_optimizer_game").main(rates=2, steps=1000, seeds=1)
    assert {"generator_loss", "critic_loss", "distance"} <= set(result.dataset)
    assert len(result.record.dims) == 2
    first, last = result.record.metrics["distance"][..., [0, -1]].min((0, 1, 2))
    assert last < first / 2


def test_body_and_head_have_rates_of_their_own():
    result = _example("per_layer_rates").main(rates=3, steps=60, seeds=1)
    assert dict(result.dataset.val_loss.sizes) == {"body_rate": 3, "head_rate": 3, "seed": 1, "eval_step": 21}
    final = result.dataset.val_loss.isel(seed=0, eval_step=-1)
    assert (final.isel(body_rate=0) != final.isel(body_rate=1)).all()
    assert result.best().score < UNTRAINED / 2


def test_a_factor_of_the_gradients_does_nothing_under_adam():
    params = {"w": jnp.array([1.0, 2.0])}
    plain, scaled = jopt.adam(0.1), jopt.chain(jopt.scale(0.1), jopt.adam(0.1))
    updates = [opt.update(params, opt.init(params), params)[0]["w"] for opt in (plain, scaled)]
    np.testing.assert_allclose(updates[0], updates[1], rtol=1e-5)


@pytest.mark.skipif("hyper" not in inspect.signature(jopt.sweep).parameters, reason="sweep has no hyper= yet")
def test_folds_are_an_axis(capsys):
    result = _example("cross_validation").main(rates=3, steps=60)
    final = result.dataset.val_loss.isel(eval_step=-1, seed=0)
    assert dict(final.sizes) == {"learning_rate": 3, "fold": 5}
    assert float(final.mean("fold").min()) < UNTRAINED / 2
    assert float(final.std("fold").min()) > 0
    assert "over 5 folds" in capsys.readouterr().out


def test_the_language_model_learns_from_what_is_no_padding():
    result = _example("language_model").main(rates=2, steps=60)
    assert result.best().score < 0.9 * np.log(128)


def test_the_language_model_is_not_rewarded_for_padding():
    made = _example("language_model")
    text = jnp.asarray(made.lines()[:4])
    params = made.init(jax.random.key(0))
    longer = jnp.concatenate([text, jnp.zeros_like(text[:1])])  # a line of padding alone
    loss = jax.jit(made.loss)
    np.testing.assert_allclose(loss(params, longer), loss(params, text), rtol=1e-5)

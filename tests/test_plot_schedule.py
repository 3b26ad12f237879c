"""Pictures of schedules: a line per setting, with its label, as long as the schedule has something to show."""

import matplotlib.pyplot as plt
import numpy as np
import optax
import pytest

import jopt


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def labels(ax):
    return [line.get_label() for line in ax.lines]


def legend(ax):
    return None if ax.get_legend() is None else [text.get_text() for text in ax.get_legend().get_texts()]


def test_a_schedule_is_one_line_of_its_values_without_a_legend():
    rate = jopt.cosine_decay_schedule(0.1, 100)
    ax = jopt.plot_schedule(rate, 50)
    (line,) = ax.lines
    assert line.get_xdata().tolist() == list(range(50))
    np.testing.assert_allclose(line.get_ydata(), [float(rate(t)) for t in range(50)], rtol=1e-6)
    assert (ax.get_xlabel(), ax.get_ylabel(), legend(ax)) == ("step", "value", None)


def test_an_optimizer_is_drawn_by_its_learning_rate_wherever_it_is():
    rate = jopt.linear_schedule(0.1, 0.0, 10)
    for optimizer in (
        jopt.adam(rate),
        jopt.chain(jopt.clip(1.0), jopt.sgd(rate, momentum=jopt.constant_schedule(0.9))),
        jopt.lift(optax.lion)(rate),
        jopt.flatten(jopt.momentum(rate)),
    ):
        ax = jopt.plot_schedule(optimizer, 11)
        (line,) = ax.lines
        np.testing.assert_allclose(line.get_ydata(), np.linspace(0.1, 0.0, 11), atol=1e-7)
        assert ax.get_ylabel() == "learning rate"


def test_axes_give_a_line_for_each_setting_with_its_label():
    swept = jopt.adam(jopt.wsd_schedule(0.0, jopt.choice(0.1, 0.2), jopt.choice(2, 4), 10, 5), b1=jopt.choice(0.8, 0.9))
    ax = jopt.plot_schedule(swept)
    expected = [f"peak_value={p}, warmup_steps={w}" for p in (0.1, 0.2) for w in (2, 4)]
    assert labels(ax) == legend(ax) == expected
    assert [max(line.get_ydata()) for line in ax.lines] == pytest.approx([0.1, 0.1, 0.2, 0.2])
    assert [int(np.argmax(line.get_ydata())) for line in ax.lines] == [2, 4, 2, 4]


def test_zipped_axes_walk_together():
    peak, warmup = jopt.zipped(jopt.choice(0.1, 0.2), jopt.choice(2, 4))
    ax = jopt.plot_schedule(jopt.wsd_schedule(0.0, peak, warmup, 10, 5))
    assert labels(ax) == ["peak_value=0.1, warmup_steps=2", "peak_value=0.2, warmup_steps=4"]


def test_a_rate_that_is_a_number_or_an_axis_is_a_level_line():
    ax = jopt.plot_schedule(jopt.sgd(jopt.choice(0.1, 0.2)), 5)
    assert labels(ax) == ["learning_rate=0.1", "learning_rate=0.2"]
    assert {*ax.lines[1].get_ydata()} == {float(np.float32(0.2))}
    assert {*jopt.plot_schedule(jopt.sgd(0.5)).lines[0].get_ydata()} == {0.5}


def test_several_learning_rates_are_several_lines():
    rates = {"encoder": jopt.linear_schedule(0.1, 0.0, 10), "head": 0.2}
    ax = jopt.plot_schedule(jopt.sgd(rates), 10)
    assert labels(ax) == ["learning_rate.encoder", "learning_rate.head"]
    rates = {"encoder": jopt.linear_schedule(jopt.choice(0.1, 0.3), 0.0, 10), "head": 0.2}
    swept = [f"learning_rate.encoder, init_value={x}" for x in (0.1, 0.3)]
    assert labels(jopt.plot_schedule(jopt.sgd(rates), 10)) == [*swept, "learning_rate.head"]  # which has no axis
    chained = jopt.plot_schedule(jopt.chain(jopt.sgd(0.1), jopt.sgd(0.2)), 10)
    assert labels(chained) == ["sgd.learning_rate", "sgd_2.learning_rate"]


def test_a_plain_function_of_the_step_is_a_schedule():
    assert jopt.plot_schedule(lambda step: step * 0.5, 4).lines[0].get_ydata().tolist() == [0.0, 0.5, 1.0, 1.5]
    assert jopt.plot_schedule(optax.linear_schedule(1.0, 0.0, 4), 5).lines[0].get_ydata().tolist() == [1, 0.75, 0.5, 0.25, 0]


@pytest.mark.parametrize(
    ("schedule", "last"),
    [
        (jopt.cosine_decay_schedule(0.1, 300), 300),
        (jopt.wsd_schedule(0.0, 0.1, 10, 50, 20), 80),
        (jopt.piecewise_constant_schedule(0.1, {40: 0.1, 100: 0.1}), 140),
        (jopt.join_schedules([jopt.linear_schedule(0.0, 1.0, 20), jopt.constant_schedule(1.0)], [20]), 40),
        (jopt.cyclic_schedule(0.0, 0.1, 30), 120),  # goes on
        (jopt.cyclic_schedule(0.0, 0.1, 30, 20), 200),
        (jopt.step_schedule(0.1, 30), 120),
        (jopt.inverse_sqrt_schedule(0.0, 0.1, 50), 200),
        (jopt.natural_exp_decay(0.1, 0.01), 1000),  # has no counts
        (lambda step: step * 0.1, 1000),
    ],
)
def test_without_steps_the_picture_is_as_long_as_the_counts_of_the_schedule(schedule, last):
    assert jopt.plot_schedule(schedule).lines[0].get_xdata()[-1] == last


def test_the_longest_of_the_settings_decides_how_long_the_picture_is():
    ax = jopt.plot_schedule(jopt.cosine_decay_schedule(0.1, jopt.choice(100, 300)))
    assert [line.get_xdata()[-1] for line in ax.lines] == [300, 300]


def test_millions_of_steps_are_thinned_out():
    (line,) = jopt.plot_schedule(jopt.cosine_decay_schedule(0.1, 10_000_000)).lines
    assert line.get_xdata()[[0, -1]].tolist() == [0, 10_000_000]
    assert len(line.get_xdata()) <= 10_000


def test_peaks_that_are_decades_apart_have_a_logarithmic_axis():
    ax = jopt.plot_schedule(jopt.cosine_decay_schedule(jopt.geomspace(1e-4, 1e-1, 4), 100))
    assert ax.get_yscale() == "log"
    assert ax.get_ylim()[0] > 0
    assert jopt.plot_schedule(jopt.cosine_decay_schedule(jopt.choice(0.1, 0.2), 100)).get_yscale() == "linear"


def test_many_lines_are_all_named_beside_the_axes():
    ax = jopt.plot_schedule(jopt.rex_schedule(jopt.geomspace(1e-3, 1e-1, 25), 100))
    assert len({*legend(ax)}) == 25
    assert len({line.get_color() for line in ax.lines}) == 25
    ax.figure.canvas.draw()
    box = ax.get_legend().get_window_extent()
    assert box.x0 >= ax.get_window_extent().x1
    assert box.x1 <= ax.figure.bbox.x1


def test_it_draws_into_the_axes_that_are_given():
    ax = plt.figure().add_subplot()
    assert jopt.plot_schedule(jopt.rex_schedule(0.1, 10), ax=ax) is ax


def test_what_cannot_be_drawn_is_an_error_that_says_what_can():
    with pytest.raises(TypeError, match=r"takes a schedule .* or an optimizer, but got float"):
        jopt.plot_schedule(0.1)
    with pytest.raises(ValueError, match="no learning_rate"):
        jopt.plot_schedule(jopt.scale_by_adam())
    with pytest.raises(ValueError, match="no learning_rate"):
        jopt.plot_schedule(optax.adam(0.1))
    with pytest.raises(ValueError, match=r"loguniform\(.*put a grid in its place"):
        jopt.plot_schedule(jopt.adam(jopt.rex_schedule(jopt.loguniform(1e-3, 1e-1), 10)))
    with pytest.raises(ValueError, match="plot_schedule: steps must be a whole number of at least 1"):
        jopt.plot_schedule(jopt.rex_schedule(0.1, 10), 0)

"""Results for the tests of the page, and the page read back."""

import html.parser
import json
import re

import jax.numpy as jnp
import numpy as np

import jopt
from jopt.results import GroupedResult, SweepRecord, SweepResult, Timings

DATE = re.compile(r"<time>[^<]*</time>")


def by_hand(losses, coords, *, metrics=None, diverged=(), pruned=(), steps=None, optimizer=None, maximize=()):
    """A result of losses [*dims, seed, step]; ``diverged`` and ``pruned`` are indices of settings, in the last half."""
    losses = np.array(losses, float)
    lanes, count = losses.shape[:-1], losses.shape[-1]
    step = np.arange(1, count + 1) if steps is None else np.asarray(steps)
    at, cut, done = np.full(lanes, np.nan), np.full(lanes, np.nan), np.full(lanes, step[-1])
    for index in diverged:
        at[index], losses[index][..., count // 2 :] = step[count // 2], np.inf
    for index in pruned:
        losses[index][..., count // 2 :] = np.nan
        cut[index] = done[index] = step[count // 2 - 1]
    record = SweepRecord(
        dims=tuple(dict.fromkeys(dim for dim, _ in coords.values())),
        coords=coords,
        seeds=np.arange(lanes[-1]),
        step=step,
        eval_step=step if metrics else np.zeros(0, int),
        losses={"loss": as_recorded(losses)},
        metrics={name: as_recorded(values) for name, values in (metrics or {}).items()},
        diverged_at=at,
        steps_done=done,
        pruned_at=cut,
        maximize=maximize,
    )
    return SweepResult(
        record,
        optimizer=optimizer or jopt.sgd(0.1),
        optimizer_at=lambda index: optimizer or jopt.sgd(0.1),
        params={},
        plan="by hand",
        timings=Timings(compile_s=1.0, run_s=2.0, total_s=3.0, lane_steps=int(done.sum())),
        version="0",
    )


def as_recorded(values):
    """Values in memory as a sweep and a file have them, time first, so that sums over them are the same to the last bit."""
    first = np.ascontiguousarray(np.moveaxis(values, (-1, -2), (0, 1)))
    return np.moveaxis(first, (0, 1), (-1, -2))


def many(settings=300, steps=20_000, seeds=3, points=None):
    """So many rates, with long noisy curves of a loss and two metrics."""
    rates = np.geomspace(1e-6, 10.0, settings)
    distance = np.log10(rates / 1e-2)[:, None, None] ** 2
    time = np.linspace(0, 1, points or steps)
    noise = np.random.default_rng(0).normal(0.0, 0.02, (settings, seeds, len(time)))
    loss = 2.3 * np.exp(-4 * time / (1 + distance)) + 0.01 * distance + np.abs(noise)
    metrics = {"val_loss": loss * 1.1, "val_accuracy": np.exp(-loss)}
    bad = [(i,) for i in range(settings - settings // 10, settings)]
    step = np.unique(np.linspace(1, steps, len(time)).astype(int))
    coords = {"learning_rate": ("learning_rate", rates)}
    return by_hand(loss, coords, metrics=metrics, diverged=bad, steps=step, maximize=("val_accuracy",))


def two_axes(pruned=((0, 0), (1, 2)), diverged=((3, 1),)):
    """Four rates by three decays, one of them diverged, two pruned, with two seeds."""
    rates, b1 = np.geomspace(1e-3, 1.0, 4), np.array([0.5, 0.9, 0.99])
    height = np.abs(np.log10(rates / 0.1))[:, None] + np.abs(b1 - 0.9)[None] + 0.1
    loss = height[..., None, None] * (1 + np.array([0.0, 0.1]))[:, None] + np.linspace(1, 0, 40)
    coords = {"learning_rate": ("learning_rate", rates), "b1": ("b1", b1)}
    return by_hand(loss, coords, pruned=pruned, diverged=diverged)


def quadratic(optimizer, **options):
    """A sweep of a quadratic, which is quick."""

    def loss(w, batch):
        return jnp.sum(jnp.arange(1.0, 4.0) * w**2)

    return jopt.sweep(loss, jnp.ones(3), optimizer, steps=options.pop("steps", 30), progress=False, **options)


def hostile():
    """Groups and metrics with names that mean something to somebody."""
    rates = {"learning_rate": ("learning_rate", np.geomspace(1e-3, 1e-1, 3))}
    odd = {
        "</script><img src=x onerror=hacked()>": ("</script><img src=x onerror=hacked()>", np.array(["<b>", "%{x}", "a&amp;b"]))
    }
    loss = np.broadcast_to(np.array([3.0, 1.0, 2.0])[:, None, None], (3, 2, 12)) + np.linspace(1, 0, 12)
    metric = "<svg onload=hacked()>{{ 7 * 7 }} $x_1$ %{y}"
    made = {
        "<script>hacked()": by_hand(loss, rates, metrics={metric: loss}),
        "_x_$y$": by_hand(loss + 1, odd, metrics={metric: loss + 1}),
        "half \ud800 & {{ data }}": by_hand(loss + 2, rates, metrics={metric: loss + 2}),
    }
    return GroupedResult(made)


class _Reader(html.parser.HTMLParser):
    """The tags of a page, the text under ids, and the cells of its tables, by the id of what is around them."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.tags, self.rows, self.texts, self._open = [], {}, {}, []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "tr":
            self._table.append([])
        if tag in ("td", "th"):
            self._table[-1].append("")
        if tag not in ("meta", "link", "input", "br", "img"):
            self._open.append((tag, dict(attributes).get("id")))

    def handle_endtag(self, tag):
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        for _, name in self._open:
            if name:
                self.texts[name] = self.texts.get(name, "") + data
        if any(tag in ("td", "th") for tag, _ in self._open):
            self._table[-1][-1] += data

    @property
    def _table(self):
        return self.rows.setdefault([name for _, name in self._open if name][-1], [])


class Read:
    """What a page says.

    Attributes:
      text: The whole file.
      answer: What stands on top, as one string.
      head: The cells of the table's header.
      cells: Of its rows.
      comparison: The rows of the table that compares optimizers, its header first; empty where there is none.
      compared: All that stands around it.
      data: What its charts are made of.
      best: The line of code for the best setting, or None.
    """

    def __init__(self, path):
        self.text = path.read_text("utf-8")
        read = _Reader(self.text)
        self.tags = read.tags
        self.answer = re.sub(r"\n", "", read.texts["answer"])
        rows = read.rows["settings"]
        self.head, self.cells = rows[0][1:], [row[1:] for row in rows[2:]]
        self.comparison = read.rows.get("comparison", [])
        self.compared = re.sub(r"\s+", " ", read.texts.get("comparison", ""))
        self.data = json.loads(read.texts["data"], parse_constant=_refuse)
        self.best = read.texts.get("best")
        self.undated = DATE.sub("", self.text)


def _refuse(constant):
    raise AssertionError(f"{constant} is no JSON")

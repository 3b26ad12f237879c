"""The update step alone: bytes per second against a measured triad, jopt against Optax and PyTorch's fused optimizers."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import random
import re
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax

import jopt
from benchmarks import common


@dataclasses.dataclass(frozen=True)
class Rule:
    """One optimizer in three libraries."""

    name: str
    jopt: Callable[[], Any]
    optax: Callable[[], Any]
    torch: Callable[[list[Any]], Any] | None = None  # from PyTorch's parameters to an optimizer
    clips: bool = False
    flat: Callable[[], Any] | None = None  # Optax's with its own flatten, where jopt's is with jopt's


@dataclasses.dataclass(frozen=True)
class Size:
    """A tree of equal leaves."""

    leaves: int
    elements: int  # of each leaf
    dtype: str = "float32"

    @property
    def total(self) -> int:
        return self.leaves * self.elements

    def tree(self, value: float) -> dict[str, jax.Array]:
        return {f"w{i:04d}": jnp.full(self.elements, value, self.dtype) for i in range(self.leaves)}


# The other rules that Optax has, too, by the name that both give them, as they come.
CATALOGUE = (
    *("adabelief", "adadelta", "adafactor", "adagrad", "adamax", "adamaxw", "adan", "amsgrad", "lamb", "lars", "lion"),
    *("nadam", "nadamw", "radam", "rmsprop", "rprop", "sign_sgd", "signum"),
)


def rules() -> list[Rule]:
    """The optimizers; PyTorch's are asked for their fused kernels."""

    def torch_rule(name: str, **options: Any) -> Callable[[list[Any]], Any]:
        def make(params: list[Any]) -> Any:
            import torch

            return getattr(torch.optim, name)(params, lr=1e-3, fused=True, **options)

        return make

    def clipped(library: Any) -> Callable[[], Any]:
        return lambda: library.chain(library.clip_by_global_norm(1.0), library.adamw(1e-3))

    def adam(library: Any) -> Callable[[], Any]:
        return lambda: library.adam(1e-3)

    def flat(library: Any, rule: Callable[[Any], Callable[[], Any]]) -> Callable[[], Any]:
        return lambda: library.flatten(rule(library)())

    def flattened(name: str, torch_name: str, rule: Callable[[Any], Callable[[], Any]], clips: bool = False) -> Rule:
        return Rule(name, flat(jopt, rule), rule(optax), torch_rule(torch_name), clips, flat(optax, rule))

    momentum = torch_rule("SGD", momentum=0.9)
    return [
        Rule("SGD", lambda: jopt.sgd(1e-3), lambda: optax.sgd(1e-3), torch_rule("SGD")),
        Rule("momentum", lambda: jopt.sgd(1e-3, 0.9), lambda: optax.sgd(1e-3, 0.9), momentum),
        Rule("Adam", adam(jopt), adam(optax), torch_rule("Adam")),
        Rule("AdamW", lambda: jopt.adamw(1e-3), lambda: optax.adamw(1e-3), torch_rule("AdamW")),
        Rule("clip + AdamW", clipped(jopt), clipped(optax), torch_rule("AdamW"), clips=True),
        flattened("flatten(Adam)", "Adam", adam),
        flattened("flatten(clip + AdamW)", "AdamW", clipped, clips=True),
    ]


def catalogue() -> list[Rule]:
    """Every other optimizer of jopt's that Optax has."""
    return [Rule(name, partial(getattr(jopt, name), 1e-3), partial(getattr(optax, name), 1e-3)) for name in CATALOGUE]


def rules_for(size: Size) -> list[Rule]:
    """Of a thousand leaves, which compile for seconds, two rules and the same flattened; of others all that are not.

    The rest of the catalogue is measured where a million numbers lie in one leaf, and in a hundred.
    """
    if size.leaves < 1000:
        others = catalogue() if size.total == 1_000_000 else []
        return [rule for rule in rules() if rule.flat is None] + others
    return [rule for rule in rules() if rule.flat is not None or rule.name in ("Adam", "clip + AdamW")]


def sizes(quick: bool) -> list[Size]:
    """Large and small arrays, many small ones, and narrow ones."""
    if quick:
        return [Size(1, 1_000_000), Size(100, 100), Size(1000, 100)]
    large = [Size(1, 20_000_000), Size(16, 1_250_000), Size(1, 20_000_000, "bfloat16")]
    return [*large, Size(1, 1_000_000), Size(100, 10_000), Size(1, 10_000), Size(1000, 100)]


class Updater:
    """``repeats`` updates in a row, compiled once, parameters and state donated."""

    def __init__(self, optimizer: Any, apply: Any, size: Size, repeats: int) -> None:
        def step(params: Any, state: Any, grads: Any) -> Any:
            updates, state = optimizer.update(grads, state, params)
            return apply(params, updates), state

        self.optimizer, self.size, self.repeats = optimizer, size, repeats
        self.renew()
        begin = time.perf_counter()
        lowered = jax.jit(step, donate_argnums=(0, 1)).lower(self.params, self.state, self.grads)
        self.compiled = lowered.compile()
        self.compile_s = time.perf_counter() - begin

    def forget(self) -> None:
        self.params = self.state = self.grads = None

    def renew(self) -> None:
        """Makes all arrays anew: where they come to lie in memory makes a difference of some per cent."""
        self.grads, self.params = self.size.tree(1e-3), self.size.tree(1e-2)
        self.state = jax.tree.map(jnp.array, self.optimizer.init(self.params))

    def __call__(self) -> Any:
        for _ in range(self.repeats):
            self.params, self.state = self.compiled(self.params, self.state, self.grads)
        return self.params, self.state

    def code(self) -> str:
        """The compiled operations in order, their values numbered, without constants and the lines they came from."""
        text = self.compiled.as_text()
        text = re.sub(r", metadata=\{[^}]*\}| \(.*->.*\{$|(?<= constant)\(.*\)", "", text, flags=re.MULTILINE)
        lines = [line for line in text.splitlines() if line.lstrip().startswith(("%", "ROOT", "ENTRY"))]
        numbers = collections.defaultdict[str, int](itertools.count().__next__)
        return re.sub(r"%[\w.-]+", lambda name: f"%{numbers[name[0]]}", "\n".join(lines))

    def bytes(self, clips: bool) -> int:
        """What one update must read and write: parameters and state twice, gradients once, and once more for their norm."""
        params, state, grads = (sum(x.nbytes for x in jax.tree.leaves(t)) for t in (self.params, self.state, self.grads))
        return 2 * params + 2 * state + grads * (2 if clips else 1)


class TorchUpdater:
    """The same updates by PyTorch."""

    def __init__(self, make: Callable[[list[Any]], Any], clips: bool, size: Size, repeats: int) -> None:
        from benchmarks.pytorch import choose_threads, device

        self.make, self.clips, self.size, self.repeats, self.where = make, clips, size, repeats, device()
        self.renew()
        self.threads = choose_threads(self._run)

    def forget(self) -> None:
        self.params = self.optimizer = None

    def renew(self) -> None:
        import torch

        dtype = getattr(torch, self.size.dtype)
        self.params = [torch.full((self.size.elements,), 1e-2, dtype=dtype, device=self.where) for _ in range(self.size.leaves)]
        for p in self.params:
            p.grad = torch.full_like(p, 1e-3)
        self.optimizer = self.make(self.params)

    def _run(self) -> None:
        import torch

        for _ in range(self.repeats):
            if self.clips:
                torch.nn.utils.clip_grad_norm_(self.params, 1.0)
            self.optimizer.step()
        if self.where.type == "cuda":
            torch.cuda.synchronize()

    def __call__(self) -> None:
        import torch

        torch.set_num_threads(self.threads)
        self._run()


def triad_bytes_per_s(elements: int, times: int) -> float:
    """The bandwidth that ``a ← a + s b`` reaches, of the best of some runs: 12 bytes for each element."""
    triad = jax.jit(lambda a, b: a + 0.5 * b, donate_argnums=0)
    a, b = jnp.ones(elements, jnp.float32), jnp.ones(elements, jnp.float32)
    best = float("inf")
    for _ in range(3 * times):
        begin = time.perf_counter()
        a = jax.block_until_ready(triad(a, b))
        best = min(best, time.perf_counter() - begin)
    return 12 * elements / best


def measure(rule: Rule, size: Size, times: int, triad: float) -> dict[str, Any]:
    """One row: seconds per update of each library."""
    repeats = max(2, min(2_000, 100_000_000 // size.total, 20_000 // size.leaves))
    cases: dict[str, Any] = {
        "jopt": Updater(rule.jopt(), jopt.apply_updates, size, repeats),
        "optax": Updater(rule.optax(), optax.apply_updates, size, repeats),
    }
    if rule.flat is not None:
        cases["optax.flatten"] = Updater(rule.flat(), optax.apply_updates, size, repeats)
    compile_s = {name: case.compile_s for name, case in cases.items()}
    ideal = cases["jopt"].bytes(rule.clips)
    if rule.torch is not None and common.version("torch"):
        cases["pytorch"] = TorchUpdater(rule.torch, rule.clips, size, repeats)
    taken: dict[str, list[float]] = {name: [] for name in cases}
    order = random.Random(0)
    for _ in range(4 * times):
        turn = {name: cases[name] for name in order.sample(list(cases), len(cases))}
        for case in turn.values():
            case.forget()
        for case in turn.values():  # by chance: who comes first, in memory and in time, is some per cent faster or slower
            case.renew()
            jax.block_until_ready(case())
        for name, more in common.interleave(turn, 1).items():
            taken[name] += more
    update_s = {name: statistics.median(t) / repeats for name, t in taken.items()}
    return {
        "optimizer": rule.name,
        **dataclasses.asdict(size),
        "update_s": update_s,
        "same_code": cases["jopt"].code() == cases["optax"].code(),
        "best_s": {name: min(t) / repeats for name, t in taken.items()},
        "compile_s": compile_s,
        "gain": {name: common.ratio(t, taken["jopt"]) for name, t in taken.items() if name != "jopt"},
        "ideal_bytes_per_parameter": ideal / size.total,
        "achieved_gb_per_s": ideal / update_s["jopt"] / 1e9,
        "of_triad": ideal / update_s["jopt"] / triad,
    }


def main(quick: bool, out: Path, times: int, only: Sequence[str] = ()) -> Path:
    """Measures every optimizer on every size; or the rows named, and leaves all else as it is."""
    path = common.result_path("update", out)
    rows = {_label(row): row for row in common.load(path)["rows"]} if only and path.exists() else {}
    todo = {
        _label({"optimizer": rule.name, **dataclasses.asdict(size)}): (rule, size)
        for size in sizes(quick)
        for rule in rules_for(size)
    }
    triad = triad_bytes_per_s(2_000_000 if quick else 20_000_000, times)
    for name in [name for name in todo if name in only or not only]:
        rows[name] = measure(*todo[name], times, triad)
        gains = ", ".join(f"{rival} {gain:.2f}" for rival, gain in rows[name]["gain"].items())
        print(f"{name}: {rows[name]['update_s']['jopt'] * 1e3:.3f} ms; faster than {gains}", file=sys.stderr, flush=True)
        common.save("update", [rows[name] for name in todo if name in rows], out, triad_gb_per_s=triad / 1e9)
    return path


def _label(row: dict[str, Any]) -> str:
    return f"{row['optimizer']}, {row['leaves']} x {row['elements']} {row['dtype']}"

"""Files of results, damaged: bytes that are changed in every way, and rows that are changed with digests that fit."""

import contextlib
import json
import sqlite3

import jax
import jax.numpy as jnp
import numpy as np

import jopt
from jopt.engine.lanes.store.database import HEAD, PARTS, TABLES, Row, digest_of

PAGE = 4096


def contents(made):
    """All that a result is, as text."""
    groups = {"": made} if isinstance(made, jopt.SweepResult) else made
    kept = {n: r.params if r.complete else None for n, r in groups.items()}
    parts = {n: (r.dataset.to_dict(), jax.tree.map(np.asarray, (kept[n], r.version, r.timings))) for n, r in groups.items()}
    with np.printoptions(threshold=10**6):
        return repr((parts, [(repr(r), repr(r.optimizer), repr(r.best("loss").optimizer)) for r in groups.values()]))


def trained():
    """A result that has everything: axes, schedules, seeds, evaluations, states."""
    rates = jopt.choice(0.1, 0.2)
    optimizer = jopt.chain(jopt.clip(1.0), jopt.adam(jopt.cosine_decay_schedule(rates, 10)))
    start = {"a": jnp.ones(3), "b": (jnp.float32(2), None)}

    def loss(w, _):
        return jnp.sum(w["a"] ** 2) + w["b"][0] ** 2

    measured = {"evaluate": lambda w: {"size": jnp.sum(w["a"] ** 2)}, "eval_every": 2, "keep": "carry"}
    return jopt.sweep(loss, start, optimizer, steps=4, seeds=2, progress=False, **measured)


def under_way(folder):
    """The bytes of a checkpoint whose sweep has not come to its end: states of lanes, records of half of the steps."""

    def stop(event):
        if event.step >= 2:
            raise InterruptedError

    def loss(w, _):
        return jnp.sum(w["a"] ** 2) + w["b"] ** 2

    directory, start = folder / "checkpoint", {"a": jnp.ones(3), "b": jnp.bfloat16(2)}
    with contextlib.suppress(InterruptedError):
        kept = jopt.Checkpoint(directory, every=0)
        more = {"evaluate": lambda w: {"size": jnp.sum(w["a"] ** 2)}, "eval_every": 2, "progress": False}
        jopt.sweep(loss, start, jopt.adam(jopt.choice(0.1, 0.2)), steps=4, seeds=2, callbacks=stop, checkpoint=kept, **more)
    return (directory / "sweep.jopt").read_bytes()


def flips(whole, pages=2, seed=0):
    """Each byte of the first pages changed, and a bit in every page of the rest: where, and the changed file."""
    random = np.random.default_rng(seed)
    first = min(pages * PAGE, len(whole))
    places = [
        *range(first),
        *(page + int(random.integers(min(PAGE, len(whole) - page))) for page in range(first, len(whole), PAGE)),
    ]
    for place in places:
        changed = whole[place] ^ (int(random.integers(1, 256)) if place < first else 1 << int(random.integers(8)))
        yield place, whole[:place] + bytes([changed]) + whole[place + 1 :]


def mutated(whole, random):
    """A file that differs from a whole one by changed bits, foreign, missing, doubled or exchanged bytes, or a cut."""
    at, length = int(random.integers(len(whole))), int(random.integers(1, 1 << int(random.integers(1, 14))))
    one, other = (PAGE * int(random.integers(max(1, len(whole) // PAGE))) for _ in range(2))
    kinds = (
        lambda: whole[:at] + bytes([whole[at] ^ (1 << int(random.integers(8)))]) + whole[at + 1 :],
        lambda: whole[:at] + random.bytes(length) + whole[at + length :],
        lambda: whole[:at] + bytes(min(length, len(whole) - at)) + whole[at + length :],
        lambda: whole[:at] + whole[at + length :],
        lambda: whole[:at] + whole[at : at + length] + whole[at:],
        lambda: whole[:at],
        lambda: whole + random.bytes(length),
        lambda: whole[:one] + whole[other : other + PAGE] + whole[one + PAGE :],
    )
    return kinds[int(random.integers(len(kinds)))]()


def _connected(path):
    db = sqlite3.connect(path)
    db.execute("PRAGMA synchronous = OFF")
    return db


def signed(path):
    """Gives every row of a file the digest that fits what is in it now, and the head what fits the rows."""
    db = _connected(path)
    head = {}
    for table in (*TABLES, PARTS):
        total, rows = 0, db.execute(f"SELECT id, parent, content FROM {table}").fetchall()
        for number, parent, content in rows:
            digest = digest_of(table, Row(number, parent, content.encode() if isinstance(content, str) else content))
            db.execute(f"UPDATE {table} SET digest = ? WHERE id = ?", (digest, number))
            total = (total + int.from_bytes(digest, "big")) % 2**128
        head[table] = [len(rows), f"{total:x}", 1 + max((row[0] for row in rows), default=0)]
    content = json.dumps({"tables": head})
    db.execute(f"UPDATE {HEAD} SET content = ?, digest = ?", (content, digest_of(HEAD, Row(1, 0, content.encode()))))
    db.commit()
    db.close()


def rewritten(path, table, change):
    """Changes the text of the first row of a table by a function, with digests that fit."""
    db = _connected(path)
    number, content = db.execute(f"SELECT id, content FROM {table} ORDER BY id").fetchone()
    db.execute(f"UPDATE {table} SET content = ? WHERE id = ?", (change(content), number))
    db.commit()
    db.close()
    signed(path)


def altered(value, random):
    """What JSON holds, changed in one place: another value, one less, one more, another number."""
    if isinstance(value, list) and value and random.random() < 0.9:
        place = int(random.integers(len(value)))
        return [*value[:place], altered(value[place], random), *value[place + 1 :]]
    if isinstance(value, list):
        return [value[:-1], [*value, *value[-1:]], [*value, None], value[::-1], []][int(random.integers(5))]
    others = [
        None,
        True,
        -1,
        0,
        1,
        2**31,
        2**70,
        0.5,
        float("nan"),
        "",
        "tuple",
        "array",
        "os.system",
        [],
        ["list"],
        ["gone", "x", True],
    ]
    return others[int(random.integers(len(others)))]

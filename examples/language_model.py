"""A small language model: one block of a transformer that reads lines of Python, filled up with padding.

What goes wrong first: `loss.mean()` over all places. Padding is predicted at once and for nothing, so the loss falls below what
the model can do, rates look better than they are, and each line pulls less the shorter it is. The places that count are summed
and divided by their number, over the whole batch: a mean of the lines' means would weigh short lines more.
"""

import argparse
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jopt

LENGTH, WIDTH, HEADS, CHARACTERS, PADDING = 48, 32, 4, 128, 0


def lines():
    """Lines of a module of the standard library as numbers [line, LENGTH]."""
    texts = [line.encode("ascii", "replace")[:LENGTH] for line in inspect.getsource(argparse).splitlines() if line.strip()]
    return np.array([list(text.ljust(LENGTH, b"\0")) for text in texts], np.int32)


def init(key):
    shapes = {"qkv": (WIDTH, 3 * WIDTH), "out": (WIDTH, WIDTH), "up": (WIDTH, 4 * WIDTH), "down": (4 * WIDTH, WIDTH)}
    shapes |= {"embed": (CHARACTERS, WIDTH), "place": (LENGTH, WIDTH)}
    keys = jax.random.split(key, len(shapes))
    return {name: jax.random.normal(k, s) / jnp.sqrt(s[-1]) for k, (name, s) in zip(keys, shapes.items(), strict=True)}


def logits(params, text):
    x = params["embed"][text] + params["place"][: text.shape[1]]
    q, k, v = jnp.split(jax.nn.standardize(x) @ params["qkv"], 3, axis=-1)
    heads = [part.reshape(*text.shape, HEADS, -1) for part in (q, k, v)]
    x += jax.nn.dot_product_attention(*heads, is_causal=True).reshape(x.shape) @ params["out"]
    x += jax.nn.gelu(jax.nn.standardize(x) @ params["up"]) @ params["down"]
    return jax.nn.standardize(x) @ params["embed"].T


def loss(params, text):
    each = optax.softmax_cross_entropy_with_integer_labels(logits(params, text[:, :-1]), text[:, 1:])
    counts = text[:, 1:] != PADDING
    return jnp.where(counts, each, 0.0).sum() / counts.sum()


def main(rates=7, steps=300):
    text = np.random.default_rng(0).permutation(lines())
    rate = jopt.warmup_cosine_decay_schedule(0.0, jopt.geomspace(1e-4, 1e-1, rates), steps // 10, steps)
    scored = jopt.metrics(lambda params, held_out: {"val_loss": loss(params, held_out)}, data=text[:256])
    result = jopt.sweep(loss, init, jopt.adamw(rate), text[256:], steps=steps, batch_size=32, evaluate=scored)
    print(result.best())
    return result


if __name__ == "__main__":
    main()

"""Imports the installed jopt outside its tree, which is the argument, and sweeps once, without any extra."""

import sys
from pathlib import Path

import jax.numpy as jnp

import jopt

home = Path(jopt.__file__).resolve().parent
assert Path(sys.argv[1]).resolve() not in home.parents, home
assert (home / "py.typed").is_file()
templates = home / "results" / "page" / "templates"
assert {path.suffix for path in templates.iterdir()} == {".html", ".css", ".js"}, templates  # of result.report
assert all(getattr(jopt, name) is not None for name in jopt.__all__)

optimizers = {"sgd": jopt.sgd(jopt.choice(0.1, 0.2)), "adam": jopt.adam(jopt.loguniform(0.01, 0.1))}
result = jopt.sweep(lambda w, _: (w**2).sum(), jnp.ones(3), optimizers, steps=20, samples=4, progress=True)
result.save("outside.jopt")
print(jopt.load_result("outside.jopt"))
print(result.dataset)

"""The page put together: its template, its style and scripts, and plotly.js, in one file."""

from __future__ import annotations

import base64
import datetime
import functools
import gzip
import hashlib
import os
import pathlib
from collections.abc import Mapping
from importlib import resources
from typing import Any

from jopt.engine.files import replacing
from jopt.results import scores
from jopt.results.page.content import content
from jopt.results.trial import Swept

SCRIPTS = ("start.js", "table.js", "drawing.js", "charts.js", "linking.js")  # in this order one script
Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]


def write(parts: Mapping[str, Swept], ranked: scores.Ranking, path: Path, compared: str | None = None) -> pathlib.Path:
    """Writes the page of a result, with a comparison of its parts, as HTML, if there is one; see ``SweepResult.report``."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    page = rendered(content(parts, ranked, compared), now)
    with replacing(path) as file:
        file.write(page.encode("utf-8", "replace"))  # names may hold halves of characters
    return pathlib.Path(os.fsdecode(path))


def rendered(names: Mapping[str, Any], written: str) -> str:
    """The page as text.

    Nothing in it is asked for from elsewhere, and its policy makes browsers hold to that: no connection, and no script but
    these two. Plotly's, large and the same on every page, is packed, and the page unpacks it.
    """
    try:
        import jinja2

        packed, plotly = _plotly()
    except ImportError as error:
        raise ImportError('A report needs plotly and jinja2: python -m pip install "jopt[report]".') from error
    templates = jinja2.FunctionLoader(_template)
    environment = jinja2.Environment(
        loader=templates, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    script = "\n".join(map(_template, SCRIPTS))
    return environment.get_template("page.html").render(
        **names,
        written=written,
        style=_template("page.css"),
        script=script,
        packed=packed,
        hashes=[_hash(script), plotly],
    )


@functools.cache
def _plotly() -> tuple[str, str]:
    """Plotly's script, packed as text, and its hash."""
    from plotly.offline import get_plotlyjs

    script = get_plotlyjs()
    return base64.b64encode(gzip.compress(script.encode(), 9, mtime=0)).decode(), _hash(script)


def _template(name: str) -> str:
    return resources.files("jopt.results.page").joinpath("templates", name).read_text("utf-8")


def _hash(script: str) -> str:
    """What a policy calls a script by."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"

"""``python -m jopt inspect PATH``: what is in a file of results, and whether it is intact."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from jopt.results.inspecting import inspect


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints what was asked for; 1 where a file is damaged or can't be read."""
    parser = argparse.ArgumentParser(prog="python -m jopt", description="Looks into what jopt has written.")
    commands = parser.add_subparsers(dest="command", required=True)
    inspecting = commands.add_parser("inspect", help="what is in a file of results, and whether it is intact")
    inspecting.add_argument("path", help="a file that result.save or a checkpoint wrote, or the directory that holds it")
    given = parser.parse_args(arguments)
    try:
        found = inspect(given.path)
    except (OSError, ValueError) as error:
        kind = "ValueError" if isinstance(error, ValueError) else type(error).__name__
        print(f"{kind}: {error}", file=sys.stderr)
        return 1
    print(found)
    return 1 if found.damage else 0


if __name__ == "__main__":
    sys.exit(main())

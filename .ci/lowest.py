"""Prints what users need, in exactly the lowest versions that pyproject.toml names: the dependencies and the features."""

import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text("utf-8"))["project"]
extras = project["optional-dependencies"]
for requirement in [*project["dependencies"], *extras["optuna"], *extras["plot"], *extras["report"]]:
    print(requirement.replace(">=", "=="))

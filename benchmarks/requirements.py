"""Our requirements and those of the extra `dev` on one line, without some: `python benchmarks/requirements.py sae-lens ...`.

For an environment that installs other versions of some of them than pyproject.toml allows.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path


def requirements(left_out: set[str]) -> list[str]:
    """Names with their bounds, without spaces."""
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    return [r.replace(" ", "") for r in wanted if re.split(r"[<>=!~ \[;]", r)[0] not in left_out]


if __name__ == "__main__":
    # a shell takes a bare < for a redirection, but not where a command is substituted
    print(*requirements(set(sys.argv[1:])))

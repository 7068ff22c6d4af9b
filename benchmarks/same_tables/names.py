"""Public names that no table is made of, and why."""

from __future__ import annotations

import ast
from pathlib import Path

NOT_COVERED = {
    "__version__": "no result",
    "Alignment": "what `align` returns",
    "Concept": "what `ConceptSet.concept` returns; its words are in the tables of concept sets",
    "EmotionTrace": "what `emotion_trace` returns",
    "targeted_direction": "its effects have no public maker; the directions of `with_targeted_directions` are made by it",
    "SaeChoice": "which SAEs are loaded; they have their tests",
    "Setting": "what is steered; the experiments that take it have their tables",
    **dict.fromkeys(
        ("feature_map", "residual_geometry", "steering_verdicts", "verdict_doses", "train_readings"),
        "newer than the kept state",
    ),
    **dict.fromkeys(
        ("export_direction", "import_directions", "check_parity"), "files for other programs, compared by their tests"
    ),
    "LoadOptions": "how a subject is loaded; what it reads has its tables",
    **dict.fromkeys(("plan", "ReadingPlan"), "no result of a subject: what one would take, by the machine"),
    **dict.fromkeys(("sweep", "load_sweep", "sweep_status", "sweep_estimate"), "newer than the kept state"),
    "serve": "no result: it shows what the others give",
    "fetch_norms": "needs the network; what it fetches is checked by SHA-256",
}


def covered() -> set[str]:
    """Names that this package takes from emotion_interp, as its files stand."""
    found = set()
    for path in Path(__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "ei":
                found.add(node.attr)
    return found

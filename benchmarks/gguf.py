"""Loading 4-bit weights: the first time, the second, and whether the logits are those of transformers' own reading.

`python -m benchmarks.gguf [--model gemma-3-270m --model smollm2-135m-instruct] [--write PAGE]`; the weight packages must be
installed. Every load has a process of its own and a cache of its own; peaks are resource.getrusage's, less what the process
had after the imports. Writes `docs/results/gguf.md`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.memory_loading import child, peak
from benchmarks.tables import markdown, write

TEXTS = ("The word is joy, and the train arrived late.", "La palabra es alegría.", "這個詞是快樂。")
_HEAD = """# Loading 4-bit weights

`python -m benchmarks.gguf`. "first" dequantises the GGUF file of the weight package into an empty cache and loads it, "second"
loads what the first kept; "transformers" reads the kept folder with transformers alone, model and tokenizer, and leaves the weights in the mapped file. Peak: resident memory above
what the process had after the imports, over the size of the float32 weights. Difference: the largest of the logits of three texts
(English, Spanish, Chinese) from those of the model that transformers itself dequantises, over the largest logit."""


def load(name: str) -> dict[str, Any]:
    """Peak and time of loading a model by name."""
    import sae_lens  # noqa: F401
    import torch  # noqa: F401
    import transformer_lens  # noqa: F401
    import transformers  # noqa: F401

    import emotion_interp as ei

    before, began, cpu = peak(), time.perf_counter(), time.process_time()
    subject = ei.load_subject(name)
    seconds, used, most = time.perf_counter() - began, time.process_time() - cpu, peak() - before
    return _row(sum(p.numel() for p in subject.model.parameters()), most, seconds, used)


def load_plainly(folder: str) -> dict[str, Any]:
    """The same of transformers alone, from the folder that was kept."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    before, began, cpu = peak(), time.perf_counter(), time.process_time()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    AutoTokenizer.from_pretrained(folder)
    seconds, used, most = time.perf_counter() - began, time.process_time() - cpu, peak() - before
    return _row(sum(p.numel() for p in model.parameters()), most, seconds, used)


def _row(n_parameters: int, most: float, seconds: float, used: float) -> dict[str, Any]:
    weights = n_parameters * 4 / 2**20
    return {
        "float32 weights MB": round(weights),
        "peak MB": round(most),
        "peak over weights": round(most / weights, 2),
        "seconds": round(seconds, 1),
        "processor seconds": round(used, 1),
    }


def difference(name: str) -> float:
    """The largest difference of the logits from those of transformers' own dequantised model, over the largest logit."""
    import torch
    from transformers import AutoModelForCausalLM

    import emotion_interp as ei
    from emotion_interp.subjects.named import MODELS, _part_files, _whole

    subject = ei.load_subject(name)
    with _whole([p for p in _part_files(MODELS[name]) if p is not None], name) as path:
        own = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()
    worst, largest = 0.0, 0.0
    for text in TEXTS:
        ids = torch.tensor([subject.tokenize([text])[0].ids])
        with torch.no_grad():
            wanted, got = own(ids).logits.double(), subject.model(ids, return_type="logits").double()
        worst, largest = max(worst, float((wanted - got).abs().max())), max(largest, float(wanted.abs().max()))
    return worst / largest


def rows(name: str) -> tuple[list[dict[str, Any]], float]:
    """The three loads of one model, and the difference of its logits."""
    with tempfile.TemporaryDirectory() as cache:
        found = [
            {"model": name, "load": n, **child("benchmarks.gguf", "--one", name, EMOTION_INTERP_CACHE=cache)}
            for n in ("first", "second")
        ]
        kept = next((Path(cache) / "gguf").iterdir())
        found.append(
            {
                "model": name,
                "load": "transformers",
                **child("benchmarks.gguf", "--plain", str(kept), EMOTION_INTERP_CACHE=cache),
            }
        )
        return found, child("benchmarks.gguf", "--logits", name, EMOTION_INTERP_CACHE=cache)


def main() -> None:
    asks = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asks.add_argument("--model", action="append", help="default: gemma-3-270m and smollm2-135m-instruct")
    asks.add_argument("--write", type=Path, default=Path("docs/results/gguf.md"))
    for name in ("--one", "--plain", "--logits"):
        asks.add_argument(name, help=argparse.SUPPRESS)
    given = asks.parse_args()
    if given.one or given.plain or given.logits:
        one = load(given.one) if given.one else load_plainly(given.plain) if given.plain else difference(given.logits)
        print(json.dumps(one))
        return
    found, apart = [], []
    for name in given.model or ["gemma-3-270m", "smollm2-135m-instruct"]:
        of_model, largest = rows(name)
        found += of_model
        apart.append(f"- {name}: {largest:.1e}")
    write(
        given.write,
        _HEAD,
        markdown(pd.DataFrame(found), {"peak over weights": 2, "seconds": 1, "processor seconds": 1}),
        "Difference of the logits:",
        "\n".join(apart),
    )


if __name__ == "__main__":
    main()

"""One peer reads all layers of texts; run by `benchmarks.reading` with the interpreter of the peers' environment.

Arguments: peer, folder (texts.json, model/), batch size, threads. Prints the seconds, without loading.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


def steering_vectors(model: Any, tokenizer: Any, texts: list[str], size: int) -> None:
    import torch
    from steering_vectors import record_activations

    with torch.no_grad():
        for start in range(0, len(texts), size):
            batch = tokenizer(texts[start : start + size], padding=True, return_tensors="pt")
            with record_activations(model, layer_type="decoder_block") as recorded:
                model(**batch)
            mask = batch["attention_mask"][..., None]
            for layers in recorded.values():
                (layers[0] * mask).sum(1) / mask.sum(1)


def repeng(model: Any, tokenizer: Any, texts: list[str], size: int) -> None:
    from repeng.extract import batched_get_hiddens

    batched_get_hiddens(model, tokenizer, texts, list(range(model.config.n_layer)), size)


def main() -> None:
    import torch
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    name, folder, size, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    torch.set_num_threads(threads)
    texts = json.loads((folder / "texts.json").read_text(encoding="utf-8"))
    model = AutoModelForCausalLM.from_pretrained(folder / "model").eval()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder / "model")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    run = {"steering-vectors": steering_vectors, "repeng": repeng}[name]
    run(model, tokenizer, texts[:2], 2)
    began = time.perf_counter()
    run(model, tokenizer, texts, size)
    print(time.perf_counter() - began)


if __name__ == "__main__":
    main()

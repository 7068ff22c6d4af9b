"""Peak memory of find_features over many SAEs.

`python -m benchmarks.memory saes` finds features with 26 SAEs of 16,384 latents x 2,304 dimensions on a model that is as wide,
and otherwise thin: with all of them in memory, with two, and with one. The SAEs' files are hard links to one.

Every figure is that of a process of its own (resource.getrusage), less what it had after the imports.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

LAYERS, WIDTH, LATENTS = 26, 2304, 16_384
WORDS = 12
"""Words of each of four emotions; of the neutral ones three times as many."""


def peak() -> float:
    """Peak resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def make_folders(root: Path) -> None:
    """The thin model and its SAEs: one file of weights under many names."""
    import torch
    from sae_lens import JumpReLUSAE, JumpReLUSAEConfig
    from sae_lens.saes.sae import SAEMetadata
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from emotion_interp.subjects.loading import bundled_folder

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(bundled_folder() / "model")
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    shape = {"num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 8, "intermediate_size": 16}
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, num_hidden_layers=LAYERS, tie_word_embeddings=True, **shape, **ids
    )
    LlamaForCausalLM(config).save_pretrained(root / "model")
    tokenizer.save_pretrained(root / "model")
    sae = JumpReLUSAE(JumpReLUSAEConfig(d_in=WIDTH, d_sae=LATENTS, dtype="float16"))
    with torch.no_grad():
        rows = torch.nn.functional.normalize(torch.randn(LATENTS, WIDTH), dim=1)
        sae.W_dec.copy_(rows)
        sae.W_enc.copy_(rows.T)
        # the stream is about 0.02 a coordinate: some latents of a token pass
        sae.threshold.fill_(0.06)
    first = root / "saes" / "layer_0"
    sae.save_model(first)
    for layer in range(LAYERS):
        folder = root / "saes" / f"layer_{layer}"
        folder.mkdir(exist_ok=True)
        if layer:
            os.link(first / "sae_weights.safetensors", folder / "sae_weights.safetensors")
        metadata = SAEMetadata(hook_name=f"blocks.{layer}.hook_resid_post", model_name="thin")
        told = JumpReLUSAEConfig(d_in=WIDTH, d_sae=LATENTS, dtype="float16", metadata=metadata)
        settings = told.to_dict() | {"architecture": "jumprelu"}
        (folder / "cfg.json").write_text(json.dumps(settings), encoding="utf-8")


def find(root: str, resident: int) -> dict[str, Any]:
    """Peak of find_features with at most so many SAEs in memory, and how often one was loaded."""
    import sae_lens
    import torch

    import emotion_interp as ei

    loads = []
    original = sae_lens.SAE.load_from_disk

    def counted(*arguments: Any, **options: Any) -> Any:
        loads.append(arguments)
        return original(*arguments, **options)

    sae_lens.SAE.load_from_disk = counted
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    whole = ei.concept_set("en").subset(emotions=["joy", "fear", "anger", "sadness"])
    stimuli, seen = [], Counter()
    for stimulus in whole.stimuli(templates=[next(iter(whole.templates("en")))]):
        seen[stimulus.emotion] += 1
        if seen[stimulus.emotion] <= (3 if stimulus.emotion == "neutral" else 1) * WORDS:
            stimuli.append(stimulus)
    imports = peak()
    load = ei.LoadOptions(resident=None if resident >= LAYERS else resident)
    subject = ei.load_subject(f"{root}/model", saes=f"{root}/saes", load=load)
    before, began = peak(), time.perf_counter()
    bank = ei.find_features(subject, whole, stimuli=stimuli, position="last")
    one = (2 * WIDTH + 2) * LATENTS * 4 / 2**20
    return {
        "SAEs in memory": resident,
        "one SAE MB": round(one),
        "imports MB": round(imports),
        "after loading MB": round(before),
        "peak MB": round(peak()),
        "peak above imports, in SAEs": round((peak() - imports) / one, 2),
        "SAEs loaded": len(loads),
        "words": len(bank.words),
        "seconds": round(time.perf_counter() - began, 1),
    }


def child(module: str, *arguments: str, **variables: str) -> Any:
    """What a process of a module prints; where it fails, its last line ends this one."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | variables, cwd=Path(__file__).parents[1]
    )
    if done.returncode:
        raise SystemExit((done.stderr.strip().splitlines() or [f"{command} failed"])[-1])
    return json.loads(done.stdout.strip().splitlines()[-1])


def saes(residents: tuple[int, ...] = (1, 2, LAYERS)) -> list[dict[str, Any]]:
    """find_features with so many SAEs in memory."""
    with tempfile.TemporaryDirectory() as root:
        make = [sys.executable, "-m", "benchmarks.memory_loading", "make", root]
        subprocess.run(make, check=True, capture_output=True, cwd=Path(__file__).parents[1])
        return [child("benchmarks.memory_loading", "find", root, str(n)) for n in residents]


def main(arguments: list[str]) -> None:
    match arguments:
        case ["make", root]:
            make_folders(Path(root))
        case ["find", root, resident]:
            print(json.dumps(find(root, int(resident))))


if __name__ == "__main__":
    main(sys.argv[1:])

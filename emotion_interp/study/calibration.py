"""How long reading takes on this machine, from a few blocks of the model's shape with random weights."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emotion_interp.activations import read_units
from emotion_interp.core.seeds import generator
from emotion_interp.core.types import Site
from emotion_interp.subjects.architecture import Architecture, place_of
from emotion_interp.subjects.loading import bundled_folder
from emotion_interp.subjects.lookup import config_of
from emotion_interp.subjects.sae_sizes import SaeSize
from emotion_interp.subjects.subject import Subject

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_TOKENS = 6000
_DEPTHS = (1, 3)
"""Blocks of the two models that are timed."""


def seconds_of(
    model: str | Path | None,
    shape: Architecture,
    sizes: Sequence[SaeSize],
    last: int,
    texts: int,
    length: int,
    read: int,
) -> float:
    """Seconds of reading texts here: time a token and block, from models of one and of three blocks, and time a latent.

    Args:
        model: as of `plan`; where its configuration is known, the blocks are of its family, else of Llama's.
        shape: its sizes.
        sizes: its SAEs.
        last: layer that is read last.
        texts: how many.
        length: tokens of each.
        read: tokens of each that SAEs encode.
    """
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = _tokenizer()
    shown = random_texts(tokenizer, max(16, _TOKENS // length), length)
    depths = [depth for depth in _DEPTHS if depth <= max(1, last + 1)]
    times = []
    for depth in depths:
        subject = Subject(_random_model(model, shape, depth, len(tokenizer)).to(device), tokenizer=tokenizer)
        n_tokens = sum(len(t) for t in subject.tokenize_quietly(shown))
        site = Site(depth - 1)

        def run(subject: Subject = subject, site: Site = site) -> None:
            read_units(subject, shown, np.arange(len(shown)), sites=[site], position="end")

        times.append(_seconds(run) / n_tokens)
    block = (times[-1] - times[0]) / (depths[-1] - depths[0]) if len(depths) > 1 else times[0]
    total = texts * length * max(0.0, times[0] + block * (last + 1 - depths[0]))
    # every SAE also has its sums, which weigh like a block's of a small model; SAEs of one shape are timed once
    timed: dict[tuple[int, int], float] = {}
    for size in sizes:
        key = size.d_in, size.d_sae
        if key not in timed:
            timed[key] = _encoding(*key, device)
        total += texts * read * timed[key]
    return total


def _encoding(d_in: int, d_sae: int, device: str) -> float:
    """Seconds of encoding a token with a random SAE, of which few latents fire."""
    import torch

    weights = torch.randn(d_in, d_sae, device=device) / d_in**0.5
    tokens = torch.randn(256, d_in, device=device)

    def run() -> None:
        with torch.no_grad():
            before = tokens @ weights
            latents = torch.relu(before) * (before > 3.0)
            index = latents.nonzero(as_tuple=True)
            latents[index].cpu()

    return _seconds(run) / len(tokens)


def _seconds(run: Callable[[], object]) -> float:
    """The faster of three runs after one to warm up."""
    import torch

    # where one thread does everything, other programs' turns are left out
    alone = torch.get_num_threads() == 1 and not torch.cuda.is_available()
    clock = time.process_time if alone else time.perf_counter
    run()
    found = []
    for _ in range(3):
        began = clock()
        run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        found.append(clock() - began)
    return min(found)


def _tokenizer() -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(bundled_folder() / "model")


def random_texts(tokenizer: PreTrainedTokenizerBase, number: int, length: int) -> list[str]:
    """Texts of about so many tokens."""
    rng = generator(0, "calibration")
    chosen = sorted(w[1:] for w in tokenizer.get_vocab() if w[0] == "Ġ" and w[1:].isalpha() and w[1:].isascii())
    # BOS is one of the tokens
    return [" ".join(rng.choice(chosen, size=max(1, length - 1))) for _ in range(number)]


def _random_model(name: str | Path | None, shape: Architecture, depth: int, vocabulary: int) -> Any:
    """A model of so many blocks and of the tokenizer's vocabulary, with random weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig

    place = place_of(name)
    if config_of(place):
        config = AutoConfig.from_pretrained(place, local_files_only=True).get_text_config()
        config.num_hidden_layers = depth
        if getattr(config, "layer_types", None):
            config.layer_types = list(config.layer_types)[-depth:]
        config.vocab_size = vocabulary
        for token in ("bos_token_id", "eos_token_id", "pad_token_id"):
            setattr(config, token, 0)
    else:
        config = LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=shape.d_model,
            num_hidden_layers=depth,
            num_attention_heads=shape.n_heads,
            num_key_value_heads=shape.n_heads,
            head_dim=shape.d_head,
            intermediate_size=shape.d_mlp,
        )
    torch.manual_seed(0)
    # half precision is for cards alone, whatever the configuration says
    dtype = torch.bfloat16 if torch.cuda.is_available() else torch.float32
    return AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=dtype).eval()

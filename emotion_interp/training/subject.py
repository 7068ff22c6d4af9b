"""The recipe of the bundled subject: a GPT-2 trained from scratch with Muon and AdamW, resumable and seeded.

Method: Muon (Jordan et al. 2024) for the two-dimensional matrices inside the blocks, AdamW for embeddings, norms and
biases; warm-up, constant rate, linear decay to zero over the last `decay` share of the steps.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from emotion_interp.core.arguments import check_fields, checked
from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.files import atomic_file, read_json, require_working_directory, write_json
from emotion_interp.subjects.tokens import bare_tokens
from emotion_interp.training.corpus import Document, is_held_out, load_documents, training_stream
from emotion_interp.training.tokenizer import load_tokenizer, train_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class SubjectRecipe:
    """Everything that decides the trained weights; saved beside them as `recipe.json`."""

    layers: int = 4
    d_model: int = 256
    heads: int = 4
    context: int = 256
    vocab_size: int = 12_000
    tokens: int = 13_000_000
    batch: int = 24
    muon_lr: float = 6e-3
    adam_lr: float = 3e-3
    weight_decay: float = 0.02
    warmup: float = 0.02
    decay: float = 0.3
    seed: int = 0
    bf16: bool = True

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def steps(self) -> int:
        return self.tokens // (self.batch * self.context)


def pack(token_lists: list[list[int]], context: int, bos: int) -> np.ndarray:
    """Pack documents into rows of `context` tokens, every row and every document starting with BOS: [row, position]."""
    rows: list[list[int]] = []
    row = [bos]
    for tokens in token_lists:
        if len(row) > 1:
            row.append(bos)
        for start in range(0, len(tokens), context):
            piece = tokens[start : start + context]
            while piece:
                room = context - len(row)
                row += piece[:room]
                piece = piece[room:]
                if len(row) == context:
                    rows.append(row)
                    row = [bos]
    return np.asarray(rows, dtype=np.int32).reshape(-1, context)


def _rows(documents: list[Document], tokenizer: Any, context: int) -> np.ndarray:
    if not documents:
        return np.zeros((0, context), dtype=np.int32)
    encoded = bare_tokens(tokenizer, [d.text for d in documents], offsets=False)
    # a document that spells the BOS begins with it once
    return pack([ids[int(spelled) :] for ids, _, spelled in encoded], context, tokenizer.bos_token_id)


def _prepare(
    data: Path, out: Path, recipe: SubjectRecipe, report: Callable[[str], None]
) -> tuple[Any, np.ndarray, dict[str, np.ndarray]]:
    """Tokenizer, packed training rows and held-out rows; made once and kept for a resumed run."""
    cache = out / "packed.npz"
    if cache.exists() and (out / "tokenizer.json").exists():
        with np.load(cache, allow_pickle=False) as arrays:
            names = [k.removeprefix("held_") for k in arrays.files if k.startswith("held_")]
            return load_tokenizer(out), arrays["train"], {n: arrays[f"held_{n}"] for n in names}
    documents = load_documents(data)
    report(f"{len(documents):,} documents")
    tokenizer = train_tokenizer(
        [d for d in documents if not is_held_out(d)], recipe.vocab_size, recipe.context, recipe.seed
    )
    tokenizer.save_pretrained(str(out))
    stream = training_stream(documents, recipe.seed)
    train = _rows(stream, tokenizer, recipe.context)
    held = {}
    for source in sorted({d.source for d in documents}):
        rows = _rows([d for d in documents if d.source == source and is_held_out(d)], tokenizer, recipe.context)
        if len(rows):
            held[source] = rows[:48]
    with atomic_file(cache) as temporary, temporary.open("wb") as handle:
        np.savez(handle, train=train, **{f"held_{k}": v for k, v in held.items()})
    report(f"{train.size:,} training tokens packed")
    return tokenizer, train, held


def _rate(step: int, recipe: SubjectRecipe) -> float:
    """Share of the peak learning rate at a step: warm-up, plateau, linear decay to zero."""
    warm = max(1, round(recipe.warmup * recipe.steps))
    fall = max(1, round(recipe.decay * recipe.steps))
    return min(1.0, (step + 1) / warm, max(0.0, (recipe.steps - step) / fall))


# Long: what a run needs is made once and given to one loop that can be cut off anywhere.
@checked
def train_subject(
    data: str | Path,
    out: str | Path,
    recipe: SubjectRecipe = SubjectRecipe(),
    *,
    compile_model: bool = False,
    checkpoint_minutes: float = 5.0,
    report: Callable[[str], None] = print,
) -> Path:
    """Train a small bilingual GPT-2 and write it in Hugging Face layout to `out`/model; run again to resume.

    Args:
        data: folder with `corpora/` and `labelled/`.
        out: working folder (checkpoints, packed tokens, log.jsonl); the finished model lies in `out`/model.
        recipe: sizes, rates and seed.
        compile_model: use `torch.compile` (about 1.5x faster on a CPU with a C++ compiler).
        checkpoint_minutes: minutes between checkpoints.
        report: receives one line of text per event.

    Raises:
        FileFormatError: a corpus is missing.
        EmotionInterpError: `out` holds a run of another recipe.

    Example:
        >>> train_subject("data", "runs/subject")  # doctest: +SKIP
    """
    require_working_directory()
    from transformers import GPT2Config, GPT2LMHeadModel

    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    if (out / "recipe.json").exists():
        recorded = read_json(out / "recipe.json")
        # a longer or shorter run may go on from the same checkpoint: the plateau does not depend on the end
        free = {"tokens", "decay", "warmup"}
        if {k: v for k, v in recorded.items() if k not in free} != {
            k: v for k, v in asdict(recipe).items() if k not in free
        }:
            raise EmotionInterpError(f"{out} holds a run of another recipe ({recorded}); choose another folder.")
    write_json(out / "recipe.json", asdict(recipe))
    tokenizer, train, held = _prepare(Path(data), out, recipe, report)

    torch.manual_seed(recipe.seed)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=recipe.context,
        n_embd=recipe.d_model,
        n_layer=recipe.layers,
        n_head=recipe.heads,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = GPT2LMHeadModel(config)
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and ".h." in n]
    others = [p for n, p in model.named_parameters() if not (p.ndim == 2 and ".h." in n)]
    optimizers = [
        torch.optim.Muon(matrices, lr=recipe.muon_lr, weight_decay=recipe.weight_decay, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=recipe.adam_lr, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    peaks = [recipe.muon_lr, recipe.adam_lr]
    start, seen_seconds = 0, 0.0
    checkpoint = out / "checkpoint.pt"
    if checkpoint.exists():
        # our own file, tensors only: weights_only refuses anything else
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        start, seen_seconds = int(state["step"]), float(state["seconds"])
        report(f"resumed at step {start}")

    def loss_of(ids: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bf16):
            hidden = model.transformer(ids).last_hidden_state
            logits = model.lm_head(hidden[:, :-1])
        return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten())

    step_loss: Callable[[torch.Tensor], torch.Tensor] = torch.compile(loss_of) if compile_model else loss_of

    def evaluate() -> dict[str, float]:
        model.eval()
        losses = {}
        with torch.no_grad():
            for name, rows in held.items():
                parts = [loss_of(torch.from_numpy(rows[i : i + 16].astype(np.int64))) for i in range(0, len(rows), 16)]
                losses[name] = float(torch.stack(parts).mean()) if parts else math.nan
        model.train()
        return losses

    def save(step: int, seconds: float) -> None:
        with atomic_file(checkpoint) as temporary:
            torch.save(
                {
                    "model": model.state_dict(),
                    "optimizers": [o.state_dict() for o in optimizers],
                    "step": step,
                    "seconds": seconds,
                },
                temporary,
            )

    order = np.random.default_rng(recipe.seed)
    passes = math.ceil(recipe.steps * recipe.batch / len(train))
    index = np.concatenate([order.permutation(len(train)) for _ in range(max(1, passes))])
    began = last_save = time.monotonic()
    running: list[float] = []
    model.train()
    for step in range(start, recipe.steps):
        ids = torch.from_numpy(train[index[step * recipe.batch : (step + 1) * recipe.batch]].astype(np.int64))
        loss = step_loss(ids)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, peak in zip(optimizers, peaks, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = peak * _rate(step, recipe)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        running.append(float(loss.detach()))
        if not math.isfinite(running[-1]):
            raise EmotionInterpError(f"the loss is {running[-1]} at step {step}; lower the learning rates.")
        seconds = seen_seconds + time.monotonic() - began
        if (step + 1) % 50 == 0:
            rate = (step + 1 - start) * recipe.batch * recipe.context / (time.monotonic() - began)
            report(f"step {step + 1}/{recipe.steps} loss {np.mean(running[-50:]):.3f} {rate:,.0f} tokens/s")
        if time.monotonic() - last_save > checkpoint_minutes * 60 or step + 1 == recipe.steps:
            last_save = time.monotonic()
            save(step + 1, seconds)
            row = {
                "step": step + 1,
                "tokens": (step + 1) * recipe.batch * recipe.context,
                "seconds": seconds,
                "train_loss": float(np.mean(running[-50:])),
                "held_out": evaluate(),
            }
            with (out / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(row) + "\n")
            report(f"held out: {row['held_out']}")
    return _export(model, tokenizer, out / "model")


def _export(model: Any, tokenizer: PreTrainedTokenizerBase, folder: Path) -> Path:
    """Write the model in half precision (Hugging Face layout) with its tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    model.to(torch.float16).save_pretrained(str(folder), safe_serialization=True)
    tokenizer.save_pretrained(str(folder))
    return folder

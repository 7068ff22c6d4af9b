"""What every release must show, cell by cell: it holds, or it is refused with a reason. Used by the tests and the table."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

import emotion_interp as ei
from emotion_interp.activations import forward_pass
from emotion_interp.core import EmotionInterpError
from emotion_interp.subjects.sae_facts import metadata_of, model_key
from emotion_interp.subjects.sae_releases import release_of
from tests.releases.hub import Hub, tiny_sizes
from tests.releases.makers import Case

CELLS = ("load", "encode exact", "metadata used")
TEXTS = ["the letter said that she was coming home", "he read it twice"]


@dataclass(frozen=True)
class Loaded:
    """A subject with one SAE of a release, what was warned while it loaded, and what the SAE should compute."""

    subject: Any
    warned: list[str]
    formula: Any


def loaded(case: Case, hub: Hub) -> Loaded:
    """Load a case by its release's name from the local cache."""
    files, formula = case.make()
    hub.add_model(case.model)
    hub.add(release_of(case.release).repo, files)
    with tiny_sizes(case), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        subject = ei.load_subject(
            case.model.hub, saes=case.release, layers=[case.site.layer], choose=case.choose, device="cpu"
        )
    ours = [str(w.message) for w in caught if issubclass(w.category, UserWarning) and "SAEs" in str(w.message)]
    return Loaded(subject, ours, formula)


def release_cells(case: Case, hub: Hub) -> dict[str, str]:
    """Cell -> "yes", "refused: why", or what differs."""
    try:
        made = loaded(case, hub)
    except EmotionInterpError as error:
        return {"load": f"refused: {error}", "encode exact": "-", "metadata used": "-"}
    return {
        "load": load_cell(case, made),
        "encode exact": encode_cell(case, made),
        "metadata used": metadata_cell(case, made),
    }


def load_cell(case: Case, made: Loaded) -> str:
    """The right site, id and release; and no word where nothing is wrong."""
    reader = made.subject.readers.get(case.site)
    if list(made.subject.readers) != [case.site] or reader is None:
        return f"reads {', '.join(map(str, made.subject.readers))} instead of {case.site}"
    told = reader.provenance()
    if (told.get("sae_id"), told.get("sae_release")) != (case.id, case.release):
        return f"provenance says {told.get('sae_release')} {told.get('sae_id')}"
    # a BOS that the SAE was trained with, or without, and the subject has not, or has
    wanted = int(reader.prepend_bos not in (None, made.subject.prepends_bos))
    return "yes" if len(made.warned) == wanted else f"warns: {'; '.join(made.warned)}"


def encode_cell(case: Case, made: Loaded) -> str:
    """The subject's activations through the formula on the raw file, against what the reader encodes."""
    reader, seen = made.subject.readers[case.site], []

    def on_site(site: Any, activations: Any, batch: Any) -> None:
        del site
        seen.extend(activations[row, 1:length] for row, length in enumerate(batch.lengths))

    try:
        forward_pass(made.subject, made.subject.tokenize(TEXTS), [case.site.point], on_site)
    except EmotionInterpError as error:
        return f"refused: {error}"
    x = seen[0]
    found, expected = reader.encode(x).double().numpy(), made.formula(x.double().numpy())
    if found.shape != expected.shape:
        return f"shape {found.shape} instead of {expected.shape}"
    if not (expected > 0).any() or (expected > 0).all():
        return "the case shows nothing: all or no latents are active"
    error = np.abs(found - expected).max() / np.abs(expected).max()
    return "yes" if error < 1e-5 else f"off by {error:.2g} of the largest"


def metadata_cell(case: Case, made: Loaded) -> str:
    """Another model of the same width, a missing BOS and texts beyond the SAE's context are said, in one line each."""
    subject, reader = made.subject, made.subject.readers[case.site]
    metadata = metadata_of(reader)
    if model_key(release_of(case.release).model) != model_key(case.model.hub):
        return f"the list's model is {release_of(case.release).model}"
    if case.context_size is not None and metadata.context_size != case.context_size:
        return f"context_size is {metadata.context_size}"
    other = "google/gemma-2-2b-it" if "gemma-2-2b" not in case.model.hub else "gpt2"
    config = subject.model.original_model.config
    config._name_or_path, before = other, config._name_or_path
    try:
        said = _said(lambda: ei.Subject(subject.model, [reader], subject.tokenizer, name=other), "another model")
    finally:
        config._name_or_path = before
    if len(said) != 1:
        return "another model is not said"
    bos = reader.prepend_bos
    if bos is True and subject.prepends_bos:
        subject.model.cfg.default_prepend_bos = False
        try:
            said = _said(lambda: ei.Subject(subject.model, [reader], subject.tokenizer, name=subject.name), "BOS")
        finally:
            subject.model.cfg.default_prepend_bos = True
        if len(said) != 1:
            return "a missing BOS is not said"
    return "yes" if bos is not None else "yes (it says nothing of BOS)"


def _said(make: Any, *words: str) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make()
    return [str(w.message) for w in caught if any(word in str(w.message) for word in words)]

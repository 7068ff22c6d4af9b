"""What the doctor asks of a model: memory, BOS, chat template, cache, and the bundled subject's card."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

from emotion_interp.concepts import scene_stimuli
from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.study.findings import Finding
from emotion_interp.study.needs import plan, room_here
from emotion_interp.subjects.cache_check import exactness
from emotion_interp.subjects.loading import BUNDLED, bundled_folder, load_subject

if TYPE_CHECKING:
    from emotion_interp.subjects.subject import Subject

CHAT_NAMES = ("-it", "instruct", "chat")
_CARD_HEADING = "## What `emotion-interp doctor` looks at again"


def of_model(model: str | None, saes: str | None, device: str, dtype: object) -> Iterator[Finding]:
    """Plan a model, load it, and ask what matters for reading and steering it.

    Args:
        model: as of `load_subject`.
        saes: its SAEs.
        device: where it is loaded.
        dtype: in which precision.
    """
    try:
        shipped = str(bundled_folder() / "saes") if model in (None, BUNDLED) else None
        planned = plan(model, saes or shipped)
        width = "bfloat16" if str(dtype).endswith(("bfloat16", "float16")) else "float32"
        fits, line = room_here(planned, width, device)
        yield Finding(
            "memory",
            "fine" if fits else "wrong",
            line,
            "" if fits else "plan says which cards hold it; try --dtype bfloat16",
        )
    except EmotionInterpError as error:
        yield Finding("memory", "look", f"not planned: {error}")
    told: list[str] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            subject = load_subject(model, saes=saes, device=device, dtype=dtype)
        told = [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
    except EmotionInterpError as error:
        yield Finding("model", "wrong", str(error), "the line says what would be right")
        return
    yield Finding(
        "model", "fine", f"{subject!r} computes what was loaded, in {str(subject.dtype).removeprefix('torch.')}"
    )
    yield from _bos(subject, [line for line in told if "BOS" in line])
    yield from _chat(subject)
    yield _cache(subject)
    if model in (None, BUNDLED) and saes is None:
        yield from _card(subject)


def _bos(subject: Subject, told: list[str]) -> Iterator[Finding]:
    if told:
        yield Finding("BOS", "look", told[0], "use the SAEs of this model")
        return
    ids = subject.tokenize(["She wept."])[0].ids
    bos = getattr(subject.tokenizer, "bos_token_id", None)
    if not subject.prepends_bos:
        yield Finding("BOS", "fine", "texts begin without one, as this tokenizer was made")
    elif ids[0] == bos and bos not in ids[1:]:
        yield Finding("BOS", "fine", "one at the start of a text")
    else:
        yield Finding("BOS", "wrong", f"a text becomes {ids[:4]}..., with BOS {bos}", "load the model's own tokenizer")


def _chat(subject: Subject) -> Iterator[Finding]:
    if not getattr(subject.tokenizer, "chat_template", None):
        chat = any(part in subject.name.lower() for part in CHAT_NAMES)
        yield Finding(
            "chat template",
            "look" if chat else "fine",
            "none" + (", though the name says that it chats" if chat else ": a model of plain text"),
            "load the tokenizer that came with the model" if chat else "",
        )
        return
    try:
        text = subject.tokenizer.apply_chat_template(
            [{"role": "user", "content": "Hello."}], tokenize=False, add_generation_prompt=True
        )
    # a template is a program, and raises what it likes
    except Exception as error:
        yield Finding(
            "chat template", "wrong", f"it fails ({type(error).__name__})", "give the tokenizer another template"
        )
        return
    ids = subject.tokenize([text])[0].ids
    bos = getattr(subject.tokenizer, "bos_token_id", None)
    number = 0 if bos is None else list(ids).count(bos)
    good = number == int(subject.prepends_bos) or number == 1
    yield Finding(
        "chat template",
        "fine" if good else "wrong",
        f"there, {number} BOS in a conversation",
        "" if good else "use the tokenizer that came with the model",
    )


def _cache(subject: Subject) -> Finding:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = exactness(subject)
    if found.cache:
        return Finding(
            "generation", "fine", "cached equals uncached" + ("" if found.padding_with_cache else ", row by row")
        )
    fix = (
        "nothing to do: text is written without the cache, slower; for some models other versions of the libraries help"
    )
    return Finding("generation", "look", "cached logits differ from uncached ones", fix)


def _card(subject: Subject) -> Iterator[Finding]:
    expected = card_figures()
    if not expected:
        yield Finding(
            "card", "wrong", "the bundled card has no figures", "pip install --force-reinstall emotion-interp"
        )
        return
    measured = measured_figures(subject)
    off = [
        f"{k} {measured[k]:.3f} instead of {v:.3f}" for k, v in expected.items() if abs(measured[k] - v) > 0.02 * abs(v)
    ]
    if off:
        yield Finding(
            "card", "wrong", f"the bundled subject differs from its card: {off[0]}", "other versions of the libraries"
        )
    else:
        yield Finding("card", "fine", f"the bundled subject reproduces its card ({len(expected)} figures)")


def card_figures() -> dict[str, float]:
    """What the bundled card says for `measured_figures`."""
    text = (bundled_folder() / "CARD.md").read_text(encoding="utf-8").partition(_CARD_HEADING)[2].partition("\n## ")[0]
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return {row[0]: float(row[1].replace(",", "")) for row in cells[2:] if len(row) == 2}


def measured_figures(subject: Subject) -> dict[str, float]:
    """Loss, and explained variance and L0 of each SAE, on the first shipped English scenes."""
    from emotion_interp.training.sae_quality import sae_quality

    texts = [s.text for s in scene_stimuli(["en"])][:60]
    frame = sae_quality(subject, {"scenes": texts}, tokens=1500, loss_tokens=800).frame
    found = {"loss": float(frame["ce"].iloc[0])}
    for row in frame.itertuples(index=False):
        found[f"explained variance at {row.layer}"] = float(row.ev)
        found[f"L0 at {row.layer}"] = float(row.l0)
    return found

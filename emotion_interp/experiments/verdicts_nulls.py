"""What the emotions of a steering verdict are compared with: directions that all of them share, drawn once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.files import atomic_file, kept_array, sha256_of
from emotion_interp.core.types import Site, Stimulus
from emotion_interp.directions.null_directions import OF_TEXTS, NullDirections, NullTexts, null_texts, random_directions
from emotion_interp.experiments.nulls import as_the_method
from emotion_interp.experiments.setting import Setting
from emotion_interp.experiments.verdicts_texts import known_by


def shared_nulls(
    setting: Setting,
    site: Site,
    n: int,
    kinds: Sequence[str],
    units: NullTexts | Sequence[Stimulus] | None,
    folder: str | Path | None,
    method: str = "dense",
) -> dict[str, NullDirections]:
    """Kind -> directions of length one at the site; those made of texts are cleaned where the emotions' are ("dense_clean").

    Raises:
        EmotionInterpError: the bank is of texts and `units` was not given, or has words that no shipped concept has.
    """
    read = None
    if set(kinds) & set(OF_TEXTS):
        if isinstance(units, NullTexts):
            read = units
        elif units is not None:
            known = getattr(setting.bank, "manifest", {})
            reading = {"position": known.get("position", "text"), "skip": int(known.get("skip", 8))}
            read = null_texts(setting.subject, units, [site], **reading)
        else:
            read = _bank_words(setting, site, folder)
    return as_the_method(
        random_directions(setting.subject, site, n, list(kinds), setting.seed, read), method, read, setting.bank
    )


def _bank_words(setting: Setting, site: Site, folder: str | Path | None) -> NullTexts:
    """The words that the bank's directions are made of, read again in their carriers: one row a word."""
    from emotion_interp.activations import read_stimuli
    from emotion_interp.concepts import concept_set

    bank, language = setting.bank, setting.language
    if bank.manifest.get("stimuli", "words") != "words":
        raise EmotionInterpError(
            "the bank was found on texts, so differences of shuffled labels need them: give units=, labelled texts such as "
            "corpus_stimuli('stories', split='subject'), or null_texts(...)."
        )
    chosen = bank.words[(bank.words["language"] == language) & (bank.words["side"] == "discovery")]
    rows = {key: i for i, key in enumerate(zip(chosen["emotion"], chosen["word"], strict=True))}
    talk = tuple((role, content) for role, content in bank.manifest.get("conversation", {}).get(language, ()))
    known = concept_set(language, size="large").stimuli()
    shown = [replace(s, messages=talk) for s in known if (s.emotion, s.word) in rows]
    lacking = set(rows) - {(s.emotion, s.word) for s in shown}
    if lacking:
        raise EmotionInterpError(
            f"the bank has words of its own, such as {min(lacking)[1]!r}; give units=, the stimuli it was found on."
        )
    position = bank.manifest.get("position", "last")
    path = None
    if folder is not None:
        texts = [[s.text, s.messages] if s.messages else s.text for s in shown]
        asked = [setting.subject.name, known_by(setting.subject), str(site), position, texts]
        path = Path(folder) / f"words_{sha256_of([*asked, list(map(list, rows))])[:32]}.npy"
    if path is not None and path.is_file():
        values = kept_array(path, (len(rows), setting.subject.d_model), "activations of words")
    else:
        units = np.asarray([rows[s.emotion, s.word] for s in shown])
        reading: dict[str, object] = {"position": position, "skip": int(bank.manifest.get("skip", 8))}
        values = np.asarray(read_stimuli(setting.subject, shown, units, sites=[site], **reading)[site].dense)
        if path is not None:
            with atomic_file(path) as temporary:
                np.save(temporary, values, allow_pickle=False)
    return NullTexts({site: values.astype(np.float64)}, tuple(e for e, _ in rows), tuple(w for _, w in rows))

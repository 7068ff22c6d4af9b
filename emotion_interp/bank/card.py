"""A bank's card: what a reader must know before using it, in Markdown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotion_interp.bank.frames import summary_by_layer
from emotion_interp.core.files import write_text
from emotion_interp.core.markup import clean, markdown
from emotion_interp.subjects.sae_facts import neuronpedia_link

if TYPE_CHECKING:
    from emotion_interp.bank.bank import FeatureBank

CARD = "README.md"
"""Name of the card where a bank is pushed."""


def bank_card(bank: FeatureBank) -> str:
    """What a reader must know before using a bank: subject, SAEs, stimuli, thresholds and figures, in Markdown.

    Example:
        >>> print(bank_card(bank))  # doctest: +SKIP
    """
    manifest = bank.manifest
    table = summary_by_layer(bank)
    # what is in a block of code is shown as it is, but for the marks that would end it
    first = clean(bank.emotions[0]).replace("`", "'")
    head = [
        "---",
        "library_name: emotion-interp",
        "tags: [sparse-autoencoder, emotion, interpretability]",
        "---",
        "",
        f"# Emotion features of {markdown(manifest.get('subject'))}",
        "",
        f"A feature bank of emotion_interp: {_content(bank)}, and no weights of the subject or its SAEs.",
        "",
        "```python",
        "import emotion_interp as ei",
        "",
        "bank = ei.FeatureBank.load(FOLDER)",
        f"bank.table({json.dumps(str(first), ensure_ascii=False)}, layer={bank.layers[0]})",
        "```",
        "",
        "| | |",
        "|---|---|",
        f"| subject | {markdown(manifest.get('subject'))} |",
        *[
            f"| {markdown(key)} | {markdown(value)} |"
            for key, value in sorted(dict(manifest.get("provenance") or {}).items())
        ],
        f"| sites | {', '.join(map(str, bank.sites))} |",
        f"| SAEs | {markdown(', '.join(sorted({str(s.get('architecture')) for s in manifest.get('saes', ())})))}, "
        f"{', '.join(sorted({format(n, ',') for n in manifest['d_sae'].values()}))} latents |",
        *_published(manifest),
        f"| emotions | {len(bank.emotions)}: {markdown(', '.join(bank.emotions))} |",
        f"| languages | {markdown(', '.join(bank.languages))} |",
        f"| stimuli | {markdown(manifest.get('stimuli', 'words'))}, {len(bank.words):,} units, position {markdown(repr(manifest.get('position')))} |",
        *_naming(manifest),
        f"| selection | {markdown(', '.join(f'{k} {v}' for k, v in dict(manifest.get('selection') or {}).items()))} |",
        f"| tests in the family | {manifest.get('n_tested'):,} |",
        f"| seed | {manifest.get('seed')} |",
        f"| further tables | {', '.join(sorted(bank.extras)) or 'none'} |",
        "",
        'Top feature per emotion fixed on the discovery half, reported on the confirmation half; "dense" is the difference',
        "of means in the same stream, which a feature has to beat.",
        "",
    ]
    columns = list(table.columns)
    rows = ["| " + " | ".join(map(markdown, columns)) + " |", "|" + "---|" * len(columns)]
    rows += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in table.itertuples(index=False)]
    return "\n".join([*head, *rows, ""])


def _published(manifest: dict[str, Any]) -> list[str]:
    """Rows on the releases that SAEs are from, with their ids, and on their pages on Neuronpedia."""
    saes = manifest.get("saes", ())
    named = [f"{sae['sae_id']} of {sae['sae_release']}" for sae in saes if sae.get("sae_id") and sae.get("sae_release")]
    pages = [f"<{neuronpedia_link(sae['neuronpedia_id'])}>" for sae in saes if sae.get("neuronpedia_id")]
    rows = [f"| SAE ids | {markdown(', '.join(named))} |"] if named else []
    return rows + ([f"| Neuronpedia | {' '.join(pages)} |"] if pages else [])


def _naming(manifest: dict[str, Any]) -> list[str]:
    """A row that says how many texts name their emotion, and of which emotion most do."""
    parts = []
    for language, shares in manifest.get("naming", {}).items():
        most = max(shares["shares"].items(), key=lambda item: item[1], default=None)
        most_named = f", of {most[0]} {most[1]:.0%}" if most else ""
        parts.append(f"{shares['naming']:,} of {shares['texts']:,} ({language}{most_named})")
    return [f"| texts that name their emotion | {markdown('; '.join(parts))} |"] if parts else []


def _content(bank: FeatureBank) -> str:
    """What a bank holds, in words: its examples are texts."""
    if "examples" in bank.extras:
        return "numbers and directions, in the table `examples` also texts on which features fired"
    return "numbers and directions only, no text"


def write_card(bank: FeatureBank, folder: Path, name: str = CARD) -> None:
    """Write the card of a bank beside it."""
    write_text(folder / name, bank_card(bank))


def _cell(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else markdown(value)

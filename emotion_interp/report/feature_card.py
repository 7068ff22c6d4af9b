"""The card of one feature: what it answers to, what it does, the tokens it promotes, and the texts on which it fires most."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from markupsafe import Markup

from emotion_interp.bank.sharing import feature_link
from emotion_interp.concepts import scene_stimuli
from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.files import write_text
from emotion_interp.core.frames import rows_where
from emotion_interp.core.markup import escaped, joined
from emotion_interp.core.types import Site
from emotion_interp.report.blocks import cell
from emotion_interp.report.card_parts import (
    emotions_html,
    emotions_of_texts,
    examples_html,
    histogram_html,
    nearest_html,
    quantiles_html,
)
from emotion_interp.report.profiles import FeatureProfile, SiteProfiles
from emotion_interp.report.tokens import POLICY, visible

if TYPE_CHECKING:
    from emotion_interp.bank import FeatureBank
    from emotion_interp.subjects import Subject

SHOWN = {
    "emotion": "emotion",
    "language": "language",
    "selected": "selected",
    "auroc": "AUROC",
    "specificity": "specificity",
    "coverage": "coverage",
    "q": "q",
    "label": "label",
    "output_effect": "output effect",
    "output_q": "output q",
    "output_score": "output score",
    "direct_auroc": "lens AUROC",
}
"""Column -> heading; those that the bank lacks are left out."""

CARD_STYLE = """
.ei-card { --ei-ink: #1f2933; --ei-soft: #52606d; --ei-line: #d9dee4; --ei-chip: #f0f4f8; --ei-link: #00588a; --ei-ground: #fff;
  margin: 0 0 1.5rem; padding: 6px 10px; border-radius: 6px; font: 15px/1.5 system-ui, "Noto Sans", "Noto Sans CJK SC", sans-serif;
  color: var(--ei-ink); background: var(--ei-ground); }
.ei-card h3 { margin: 0 0 .4rem; font-size: 16px; overflow-wrap: anywhere; }
.ei-card h4 { margin: .9rem 0 .2rem; font-size: 14px; }
.ei-card p { margin: .2rem 0; }
.ei-card a { color: var(--ei-link); }
.ei-card .ei-scroll { overflow-x: auto; }
.ei-card table { border-collapse: collapse; font-size: 13px; }
.ei-card th, .ei-card td { padding: 2px 8px; text-align: right; border-bottom: 1px solid var(--ei-line); white-space: nowrap; }
.ei-card .ei-text th, .ei-card .ei-text td { text-align: left; }
.ei-card .ei-text td:last-child { white-space: normal; min-width: 13rem; }
.ei-card code { display: inline-block; max-width: 100%; margin: 0 4px 4px 0; padding: 0 4px; background: var(--ei-chip); color: inherit; white-space: pre-wrap; overflow-wrap: anywhere; }
.ei-card ol { margin: 0; padding-left: 1.6rem; }
.ei-card li { overflow-wrap: anywhere; line-height: 1.8; }
.ei-card li span { white-space: pre-wrap; color: #1f2933; border-radius: 2px; }
.ei-card li .ei-silent { color: inherit; }
.ei-card li i { font-style: normal; white-space: pre-wrap; color: var(--ei-soft); }
.ei-card .ei-of { padding: 0 5px; border: 1px solid var(--ei-line); border-radius: 8px; font-size: 12.5px; }
.ei-card pre { overflow-x: auto; padding: 6px 8px; background: var(--ei-chip); font-size: 13px; }
.ei-card small { color: var(--ei-soft); }
.ei-card .ei-langs { display: flex; flex-wrap: wrap; gap: 4px 24px; }
.ei-card .ei-lang { max-width: 100%; overflow-wrap: anywhere; }
@media (prefers-color-scheme: dark) {
  .ei-card { --ei-ink: #e4e7eb; --ei-soft: #a9b4c0; --ei-line: #3e4c59; --ei-chip: #283340; --ei-link: #7cc4f5; --ei-ground: #161d26; }
}
@media print { .ei-card { --ei-ink: #000; --ei-soft: #333; --ei-ground: #fff; --ei-chip: #f0f4f8; break-inside: avoid; } }
"""


PAGE_STYLE = (
    ":root { color-scheme: light dark; } body { margin: 0; padding: 1rem; background: #fff; color: #1f2933; } "
    "@media (prefers-color-scheme: dark) { body { background: #161d26; color: #e4e7eb; } }"
)
"""Of a page that holds cards alone."""


@dataclass(frozen=True, eq=False)
class FeatureCard:
    """One feature's card; `.html` is a fragment for a page with `CARD_STYLE`, `.save` writes a page of its own.

    scores: one row per emotion and language the feature was scored for; promoted, suppressed: tokens of the logit lens;
    examples: rows of the bank's table "examples".
    """

    site: Site
    feature: int
    subject: str
    scores: pd.DataFrame
    promoted: tuple[str, ...]
    suppressed: tuple[str, ...]
    examples: pd.DataFrame
    link: str = ""
    """The feature's page on Neuronpedia, where its SAE has one."""
    profile: FeatureProfile | None = None
    """What it does over the bank's stimuli."""
    anchor: str = ""
    """What the ids of cards begin with on a page that holds several; neighbours are linked there."""

    def to_frame(self) -> pd.DataFrame:
        """The scores."""
        return self.scores.copy()

    @property
    def html(self) -> str:
        """An HTML fragment; safe for any token and text."""
        name = escaped(f"Feature {self.feature} · {self.site} · {self.subject}")
        profile, drawn = self.profile, Markup()
        if profile is not None:
            parts = (histogram_html(profile), emotions_html(profile), quantiles_html(profile))
            drawn = joined([*parts, nearest_html(profile, self.anchor)])
        return (
            f'<section class="ei-card"><h3>{name}</h3>{self._page()}{self._scores()}'
            f"{_tokens('Promotes (logit lens)', self.promoted)}{_tokens('Suppresses', self.suppressed)}{self._examples()}"
            f"{drawn}"
            f'<h4>Steer with it</h4><pre tabindex="0" role="region" aria-label="Python code for feature {self.feature}">{escaped(self.snippet)}</pre></section>'
        )

    @property
    def snippet(self) -> str:
        """Python that steers with this feature's decoder row, `subject` being the card's."""
        return (
            f'site = ei.Site.parse("{self.site}")\n'
            f"row = subject.readers[site].decoder_rows([{self.feature}])[0]\n"
            f"with ei.steer(subject, ei.Direction(row, layer=site.layer, kind=site.kind), dose=0.5):\n"
            f'    print(subject.generate("The letter said"))'
        )

    def _page(self) -> str:
        if not self.link:
            return ""
        return f'<p><a href="{escaped(self.link)}" rel="noopener noreferrer">on Neuronpedia</a></p>'

    def _scores(self) -> str:
        scores = self.scores
        kept = [c for c in SHOWN if c in scores and scores[c].notna().any()]
        head = "".join(f'<th scope="col">{escaped(SHOWN[c])}</th>' for c in kept)
        body = ""
        for row in scores.to_dict("records"):
            cells = "".join(f"<td>{escaped(cell(row[c], 3))}</td>" for c in kept)
            body += f"<tr>{cells}</tr>"
        name = f"Scores of feature {self.feature}"
        return f'<div class="ei-scroll" tabindex="0" role="region" aria-label="{name}"><table><tr>{head}</tr>{body}</table></div>'

    def _examples(self) -> str:
        if self.examples.empty:
            return "<h4>Texts</h4><small>The bank has no examples of this feature.</small>"
        return examples_html(self.examples)

    def _repr_html_(self) -> str:
        return f"<style>{CARD_STYLE}</style>{self.html}"

    def save(self, path: str | Path) -> Path:
        """Write one self-contained page; returns its path. `EmotionInterpError` if it cannot be written."""
        write_text(
            path,
            f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
            f"<title>Feature {self.feature}</title><style>{PAGE_STYLE} {CARD_STYLE}</style></head>"
            f"<body>{self.html}</body></html>\n",
        )
        return Path(path)


@checked
def feature_card(
    bank: FeatureBank, layer: int | Site | str, feature: int, *, subject: Subject | None = None
) -> FeatureCard:
    """Everything a bank knows of one feature: scores, logit-lens tokens, how often and on which emotions it fires, neighbours,
    the texts on which it fires most.

    Args:
        bank: with the tables "outputs", "tokens" and "examples" as far as they were made; the rest is left out.
        layer: a layer, hook name or site.
        feature: the latent's number.
        subject: the bank's model, for neighbours by the cosine of decoder rows; without it, by activations.

    Raises:
        EmotionInterpError: the bank has no score of that feature, or is of another subject.
        UnknownNameError: the bank has no such layer.

    Example:
        >>> feature_card(bank, layer=2, feature=17).save("card.html")  # doctest: +SKIP
    """
    return card_of(SiteProfiles(bank, bank.site(layer), subject), int(feature))


def card_of(profiles: SiteProfiles, feature: int, anchor: str = "") -> FeatureCard:
    """The card of a feature of a site that was read already; errors as `feature_card`.

    Args:
        profiles: the site's features.
        feature: one that the bank has scored.
        anchor: what the ids of the page's cards begin with.
    """
    bank, site = profiles.bank, profiles.site
    scores = _scores_of(profiles.table, site, feature)
    tokens, examples = (_rows(bank, name, site, feature) for name in ("tokens", "examples"))
    up, down = (tuple(tokens[c].iloc[0]) if len(tokens) else () for c in ("promoted", "suppressed"))
    if len(examples):
        examples = examples.sort_values("rank").reset_index(drop=True)
        examples = examples.assign(text_emotion=emotions_of_texts(examples, _scene_emotions()))
    return FeatureCard(
        site,
        feature,
        str(bank.manifest.get("subject")),
        scores,
        up,
        down,
        examples,
        feature_link(bank, site, feature) or "",
        profiles.profile(feature),
        anchor,
    )


def _scores_of(table: pd.DataFrame, site: Site, feature: int) -> pd.DataFrame:
    scores = rows_where(table, table["feature"] == feature).reset_index(drop=True)
    if scores.empty:
        raise EmotionInterpError(
            f"the bank has no score of feature {feature!r} at {site}: it responds to no emotion, or is no latent there."
        )
    return scores


@cache
def _scene_emotions() -> dict[str, str]:
    """Of each shipped scene its emotion: examples that were given as bare texts have no label of their own."""
    return {s.text: str(s.emotion) for s in scene_stimuli() if s.emotion}


def _rows(bank: FeatureBank, name: str, site: Site, feature: int) -> pd.DataFrame:
    if name not in bank.extras:
        return pd.DataFrame()
    table = bank.extras[name]
    return table[(table["site"] == str(site)) & (table["feature"] == feature)]


def _tokens(heading: str, tokens: tuple[str, ...]) -> str:
    if not tokens:
        return ""
    return f"<h4>{heading}</h4>" + "".join(f"<code>{escaped(visible(t))}</code>" for t in tokens)

"""The card of one feature: what it answers to, what it does, the tokens it promotes, and the texts on which it fires most."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from emotion_interp.bank.sharing import feature_link
from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.files import write_text
from emotion_interp.core.markup import escaped
from emotion_interp.core.types import Site
from emotion_interp.report.blocks import cell
from emotion_interp.report.tokens import POLICY, _span, visible

if TYPE_CHECKING:
    from emotion_interp.bank import FeatureBank

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
.ei-card { margin: 0 0 1.5rem; font: 15px/1.5 system-ui, "Noto Sans", "Noto Sans CJK SC", sans-serif; color: #1f2933; }
.ei-card h3 { margin: 0 0 .4rem; font-size: 16px; overflow-wrap: anywhere; }
.ei-card h4 { margin: .8rem 0 .2rem; font-size: 14px; }
.ei-card .ei-scroll { overflow-x: auto; }
.ei-card table { border-collapse: collapse; font-size: 13px; }
.ei-card th, .ei-card td { padding: 2px 8px; text-align: right; border-bottom: 1px solid #e4e7eb; white-space: nowrap; }
.ei-card code { display: inline-block; margin: 0 4px 4px 0; padding: 0 4px; background: #f0f4f8; white-space: pre; }
.ei-card ol { margin: 0; padding-left: 1.6rem; }
.ei-card li { overflow-wrap: anywhere; line-height: 1.8; background: #fff; }
.ei-card li span { white-space: pre-wrap; }
.ei-card pre { overflow-x: auto; padding: 6px 8px; background: #f0f4f8; font-size: 13px; }
.ei-card small { color: #52606d; }
"""


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

    def to_frame(self) -> pd.DataFrame:
        """The scores."""
        return self.scores.copy()

    @property
    def html(self) -> str:
        """An HTML fragment; safe for any token and text."""
        name = escaped(f"Feature {self.feature} · {self.site} · {self.subject}")
        return (
            f'<section class="ei-card"><h3>{name}</h3>{self._page()}{self._scores()}'
            f"{_tokens('Promotes (logit lens)', self.promoted)}{_tokens('Suppresses', self.suppressed)}{self._examples()}"
            f'<h4>Steer with it</h4><pre tabindex="0" aria-label="Python code">{escaped(self.snippet)}</pre></section>'
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
        head = "".join(f"<th>{escaped(SHOWN[c])}</th>" for c in kept)
        body = ""
        for row in scores.to_dict("records"):
            cells = "".join(f"<td>{escaped(cell(row[c], 3))}</td>" for c in kept)
            body += f"<tr>{cells}</tr>"
        return f'<div class="ei-scroll" tabindex="0"><table><tr>{head}</tr>{body}</table></div>'

    def _examples(self) -> str:
        if self.examples.empty:
            return "<h4>Texts</h4><small>The bank has no examples of this feature.</small>"
        examples = self.examples
        limit = float(examples["activation"].max()) or 1.0
        items = ""
        for row in examples.to_dict("records"):
            spans = "".join(
                _span(t, float(v), limit) for t, v in zip(row["tokens"], row["activations"], strict=True) if t
            )
            about = " · ".join(p for p in (cell(float(row["activation"]), 2), _text(row.get("text_emotion"))) if p)
            items += f"<li>{spans} <small>{escaped(about)}</small></li>"
        return f"<h4>Texts on which it fires most</h4><ol>{items}</ol>"

    def _repr_html_(self) -> str:
        return f"<style>{CARD_STYLE}</style>{self.html}"

    def save(self, path: str | Path) -> Path:
        """Write one self-contained page; returns its path. `EmotionInterpError` if it cannot be written."""
        write_text(
            path,
            f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
            f"<title>Feature {self.feature}</title><style>body {{ margin: 1rem; }} {CARD_STYLE}</style></head>"
            f"<body>{self.html}</body></html>\n",
        )
        return Path(path)


@checked
def feature_card(bank: FeatureBank, layer: int | Site | str, feature: int) -> FeatureCard:
    """Everything a bank knows of one feature: scores, labels, logit-lens tokens, top activating examples.

    Args:
        bank: with the tables "outputs", "tokens" and "examples" as far as they were made; the rest is left out.
        layer: a layer, hook name or site.
        feature: the latent's number.

    Raises:
        EmotionInterpError: the bank has no score of that feature.
        UnknownNameError: the bank has no such layer.

    Example:
        >>> feature_card(bank, layer=2, feature=17).save("card.html")  # doctest: +SKIP
    """
    site = bank.site(layer)
    scores = bank.table(layer=site)
    scores = scores[scores["feature"] == feature].reset_index(drop=True)
    if scores.empty:
        raise EmotionInterpError(
            f"the bank has no score of feature {feature!r} at {site}: it responds to no emotion, or is no latent there."
        )
    tokens, examples = (_rows(bank, name, site, feature) for name in ("tokens", "examples"))
    lists = [tuple(tokens[c].iloc[0]) if len(tokens) else () for c in ("promoted", "suppressed")]
    if len(examples):
        examples = examples.sort_values("rank").reset_index(drop=True)
    link = feature_link(bank, site, int(feature)) or ""
    return FeatureCard(
        site, int(feature), str(bank.manifest.get("subject")), scores, lists[0], lists[1], examples, link
    )


def _rows(bank: FeatureBank, name: str, site: Site, feature: int) -> Any:
    if name not in bank.extras:
        return pd.DataFrame()
    table = bank.extras[name]
    return table[(table["site"] == str(site)) & (table["feature"] == feature)]


def _text(value: object) -> str:
    missing = value is None or (isinstance(value, (float, np.floating)) and np.isnan(value))
    return "" if missing else str(value)


def _tokens(heading: str, tokens: tuple[str, ...]) -> str:
    if not tokens:
        return ""
    return f"<h4>{heading}</h4>" + "".join(f"<code>{escaped(visible(t))}</code>" for t in tokens)

"""The maps of a bank as HTML: tables one can click, sort, filter and save; and the page of all cards of a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from markupsafe import Markup

from emotion_interp.core.markup import fragment, joined
from emotion_interp.report.feature_card import CARD_STYLE, PAGE_STYLE, card_of
from emotion_interp.report.sortable import SORTABLE_SCRIPT, SORTABLE_STYLE, sortable_table
from emotion_interp.report.tokens import POLICY

if TYPE_CHECKING:
    from emotion_interp.report.profiles import SiteProfiles

ANCHOR = "feature-"
_LEVELS = 9
_LIGHT = ("#f7fbff", "#e6f0fa", "#d3e4f3", "#b8d5ea", "#94c4df", "#6baed6", "#559fd0", "#2171b5", "#08519c", "#08306b")
_DARK = ("#1a222c", "#1d2d3c", "#1f394e", "#21465f", "#255573", "#28607f", "#2b6689", "#418fbf", "#5caada", "#8ecdf6")


def _levels(colours: tuple[str, ...], bright: str, dark: str, turn: range) -> str:
    return " ".join(
        f".ei-page .v{i} {{ background: {c}; color: {bright if i in turn else dark}; }}" for i, c in enumerate(colours)
    )


MAP_STYLE = Markup(
    """
.ei-page { --ei-ink: #1f2933; --ei-soft: #52606d; --ei-line: #d9dee4; --ei-link: #00588a; --ei-ground: #fff;
  font: 15px/1.5 system-ui, "Noto Sans", "Noto Sans CJK SC", sans-serif; color: var(--ei-ink); background: var(--ei-ground); }
.ei-page a { color: var(--ei-link); }
.ei-page h1 { font-size: 1.4rem; line-height: 1.25; overflow-wrap: anywhere; margin: 0 0 .4rem; }
.ei-page h2 { font-size: 1.15rem; margin: 1.6rem 0 .2rem; }
.ei-page .ei-note { color: var(--ei-soft); font-size: 14px; margin: 0 0 .5rem; max-width: 75ch; }
.ei-page nav a { margin-right: 14px; }
.ei-grid { overflow: auto; max-width: 100%; max-height: 85vh; }
.ei-grid table { border-collapse: separate; border-spacing: 1px; font-size: 11px; font-variant-numeric: tabular-nums; }
.ei-grid td { width: 29px; min-width: 29px; height: 20px; padding: 0; text-align: center; white-space: nowrap; }
.ei-grid thead th { position: sticky; top: 0; z-index: 1; background: var(--ei-ground); writing-mode: vertical-rl; transform: rotate(180deg); padding: 4px 2px; font-weight: 500; font-size: 12px; text-align: left; }
.ei-grid tbody th { position: sticky; left: 0; background: var(--ei-ground); text-align: right; font-weight: 400; font-size: 12px; padding: 0 6px 0 0; max-width: 210px; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.ei-grid td.k { outline: 2px solid #e8710a; outline-offset: -2px; font-weight: 700; }
.ei-grid tbody tr:has(a) td { cursor: pointer; }
.ei-grid tbody tr:has(a):hover :is(td, th) { text-decoration: underline; }
.ei-page .ei-cell { display: inline-block; min-width: 3.2em; padding: 0 5px; text-align: center; }
.ei-fold { border-top: 1px solid var(--ei-line); scroll-margin-top: 8px; }
.ei-fold > summary { cursor: pointer; padding: 7px 0; overflow-wrap: anywhere; }
@media print { .ei-grid { max-height: none; } }
@media (max-width: 640px) { .ei-grid tbody th { max-width: 118px; font-size: 11px; } .ei-grid td { width: 26px; min-width: 26px; font-size: 10px; } }
@media (prefers-color-scheme: dark) {
  .ei-page { --ei-ink: #e4e7eb; --ei-soft: #a9b4c0; --ei-line: #3e4c59; --ei-link: #7cc4f5; --ei-ground: #161d26; }
}
"""
    + _levels(_LIGHT, "#fff", "#1f2933", range(7, 10))
    + "@media (prefers-color-scheme: dark) { "
    + _levels(_DARK, "#0b1117", "#e4e7eb", range(7, 10))
    + " }"
)

_OPEN = """
(() => {
  const open = () => {
    const card = location.hash ? document.getElementById(decodeURIComponent(location.hash.slice(1))) : null;
    if (card && card.matches("details")) { card.open = true; card.scrollIntoView(); }
  };
  addEventListener("hashchange", open);
  // a link to the place one is at changes no address
  document.addEventListener("click", (event) => { if (event.target.closest("a[href^='#']")) setTimeout(open); });
  // a cell belongs to its row's feature; by keyboard the row's own link leads there
  document.addEventListener("click", (event) => {
    const cell = event.target.closest(".ei-grid tbody td");
    const link = cell && cell.parentElement.querySelector("th a");
    if (link) link.click();
  });
  open();
})();
"""


def _level(value: float) -> str:
    return "" if value != value else f"v{min(_LEVELS, max(0, int((value - 0.5) * 20)))}"


def _hundred(value: float) -> str:
    return "–" if value != value else f"{100 * value:.0f}"


def map_html(frame: pd.DataFrame, *, linked: bool = False) -> Markup:
    """Features (rows) by emotions (columns): AUROC times 100, darker is higher; framed: kept for it, ✓: confirmed.

    Args:
        frame: one row per cell, in the order of the map: feature, named, emotion, auroc, kept, confirmed.
        linked: each row leads to the feature's card on the same page.
    """
    emotions = list(dict.fromkeys(frame["emotion"]))
    head = joined(fragment('<th scope="col">{}</th>', e) for e in emotions)
    lines = []
    for feature, rows in frame.groupby("feature", sort=False):
        name = fragment("{} · {}", feature, rows["named"].iloc[0])
        if linked:
            name = fragment('<a href="#{}{}">{}</a>', ANCHOR, feature, name)
        of = {e: values for e, *values in rows[["emotion", "auroc", "kept", "confirmed"]].itertuples(index=False)}
        cells = []
        for emotion in emotions:
            auroc, kept, confirmed = of.get(emotion, (float("nan"), False, False))
            mark = f"{_level(auroc)} k" if kept else _level(auroc)
            cells.append(fragment('<td class="{}">{}{}</td>', mark, _hundred(auroc), "✓" if confirmed else ""))
        title = rows["named"].iloc[0]
        lines.append(fragment('<tr><th scope="row" title="{}">{}</th>{}</tr>', title, name, joined(cells)))
    return fragment(
        '<div class="ei-grid" tabindex="0" role="region" aria-label="Features by emotions"><table><thead><tr><td></td>{}</tr>'
        "</thead><tbody>{}</tbody></table></div>",
        *(head, joined(lines)),
    )


def layers_html(layers: pd.DataFrame) -> Markup:
    """Emotions by layers, the languages beside each other: held-out AUROC times 100; ✓ confirmed, ○ passes at this layer.

    Args:
        layers: language, place, emotion, auroc_heldout, passes, confirmed.
    """
    places = list(dict.fromkeys(zip(layers["language"], layers["place"], strict=True)))
    of = {(r["emotion"], r["language"], r["place"]): r for r in layers.to_dict("records")}
    rows = []
    for emotion in sorted(layers["emotion"].unique()):
        line: list[object] = [emotion]
        for language, place in places:
            row = of.get((emotion, language, place))
            if row is None:
                line.append("–")
                continue
            value = float(row["auroc_heldout"])
            mark = " ✓" if row["confirmed"] else " ○" if row["passes"] else ""
            shown = fragment('<span class="ei-cell {}">{}{}</span>', _level(value), _hundred(value), mark)
            line.append((f"{value:.4f}" if value == value else "", shown))
        rows.append(line)
    heads = ["emotion", *(f"{language} {place}" for language, place in places)]
    kinds = [False, *[True] * len(places)]
    label = "Held-out AUROC by emotion, language and layer"
    return sortable_table(heads, rows, label=label, file="emotions_by_layer.csv", numeric=kinds)


def languages_html(languages: pd.DataFrame, *, linked: bool = True) -> Markup:
    """Each feature and what it was kept for, with the languages in which it was and its AUROC in each.

    Args:
        languages: emotion, feature, kind, languages, confirmed, `auroc_<language>`.
        linked: each row leads to the feature's card on the same page.
    """
    scores = [c for c in languages if str(c).startswith("auroc_")]
    rows = []
    for row in languages.to_dict("records"):
        feature = (row["feature"], fragment('<a href="#{}{}">{}</a>', ANCHOR, row["feature"], row["feature"]))
        values = []
        for column in scores:
            value = float(row[column])
            shown = fragment('<span class="ei-cell {}">{}</span>', _level(value), _hundred(value))
            values.append((f"{value:.4f}" if value == value else "", shown))
        sure = "yes" if row["confirmed"] else "no"
        rows.append(
            [row["emotion"], feature if linked else row["feature"], row["kind"], row["languages"], sure, *values]
        )
    heads = ["emotion", "feature", "shared", "kept in", "confirmed", *(str(c).removeprefix("auroc_") for c in scores)]
    kinds = [False, True, False, False, False, *[True] * len(scores)]
    return sortable_table(heads, rows, label="Languages side by side", file="languages.csv", numeric=kinds)


def cards_html(profiles: SiteProfiles) -> Markup:
    """The card of every kept feature of a site, folded; a link to `#feature-<number>` opens one."""
    parts = []
    for feature in profiles.features:
        card = card_of(profiles, int(feature), ANCHOR)
        name = f"{feature} · {profiles.emotion_of(int(feature))}"
        body = Markup(card.html)
        parts.append(
            fragment(
                '<details class="ei-fold" id="{}{}"><summary>{}</summary>{}</details>', ANCHOR, feature, name, body
            )
        )
    return joined(parts)


def map_page(
    title: str, frame: pd.DataFrame, layers: pd.DataFrame, languages: pd.DataFrame, profiles: SiteProfiles
) -> str:
    """One page with the maps, the tables and all cards; nothing in it asks for anything over the network.

    Args:
        title: its heading.
        frame: as for `map_html`.
        layers: as for `layers_html`.
        languages: as for `languages_html`.
        profiles: the site's features, for the cards.
    """
    counts = languages["kind"].value_counts()
    said = ", ".join(f"{n} {kind}" for kind, n in counts.items())
    n_sure = int(frame["confirmed"].to_numpy().sum())
    sections = [
        ("map", "Features by emotions", _MAP, map_html(frame, linked=True)),
        ("layers", "Where each emotion lives", _LAYERS, layers_html(layers)),
        ("languages", "Languages side by side", f"{_LANGUAGES} {said}.", languages_html(languages)),
        ("cards", f"Cards of all {len(profiles.features)} kept features", _CARDS, cards_html(profiles)),
    ]
    body = joined(
        fragment('<section id="{}"><h2>{}</h2><p class="ei-note">{}</p>{}</section>', *section) for section in sections
    )
    links = joined(fragment('<a href="#{}">{}</a>', anchor, name) for anchor, name, *_ in sections)
    return str(
        fragment(
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
            'content="width=device-width, initial-scale=1"><meta http-equiv="Content-Security-Policy" content="{}">'
            '<link rel="icon" href="data:,"><title>{}</title><style>{}</style></head><body class="ei-page"><main><h1>{}</h1>'
            "<p>{} features, {} confirmed for their emotion.</p><nav aria-label='Parts of the page'>{}</nav>{}</main>"
            "<script>{}</script></body></html>\n",
            *(Markup(POLICY), title, Markup(PAGE_STYLE + CARD_STYLE) + MAP_STYLE + Markup(SORTABLE_STYLE), title),
            *(frame["feature"].nunique(), n_sure, links, body, Markup(SORTABLE_SCRIPT + _OPEN)),
        )
    )


_MAP = (
    "AUROC × 100 of each kept feature for each emotion against all others (50 is chance), on all of the bank's stimuli, so "
    "that the half it was chosen on flatters it. Framed: chosen for that emotion. ✓: confirmed on the other half. A cell, or the "
    "name of its row, leads to the feature's card."
)
_LAYERS = (
    "Held-out AUROC × 100 of each emotion's top feature. ✓: confirmed, at the one layer of the language that was fixed on "
    "the discovery half; ○: passes the same tests at this layer for itself, not corrected over layers."
)
_LANGUAGES = "Which features were kept for the same emotion in several languages, and which in one alone:"
_CARDS = "Everything the bank knows of each."

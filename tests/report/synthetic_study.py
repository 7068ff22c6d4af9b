"""A realistic study made of random numbers: 4 layers, 2 languages, 28 emotions."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from emotion_interp.report import StudyData, TokenView, token_view

EMOTIONS = [
    "admiration",
    "amusement",
    "anger",
    "annoyance",
    "anxiety",
    "approval",
    "awe",
    "boredom",
    "calmness",
    "compassion",
    "confusion",
    "contempt",
    "contentment",
    "curiosity",
    "disappointment",
    "disgust",
    "embarrassment",
    "envy",
    "excitement",
    "fear",
    "gratitude",
    "guilt",
    "joy",
    "love",
    "nostalgia",
    "pride",
    "sadness",
    "surprise",
]
EVIL = "<img src=x onerror=\"document.title='broken'\"></script><script>document.title='broken'</script>'\"&\x1b[31m\u202e[red]"
"""A name that would run script, close a script, colour a terminal and turn its direction."""
LAYERS, LANGUAGES = (0, 1, 2, 3), ("en", "zh")


def evil_bank(bank: Any) -> Any:
    """The bank with a hostile subject, language and emotion, as a stranger may have signed it."""
    names = {"joy": f"joy{EVIL}", "en": f"en{EVIL}"}

    def turned(frame: pd.DataFrame) -> pd.DataFrame:
        kept = {c: frame[c].replace(names) for c in ("emotion", "language") if c in frame}
        return frame.assign(**kept)

    manifest = json.loads(json.dumps(bank.manifest))
    swap = lambda items: [names.get(i, i) for i in items]  # noqa: E731
    manifest |= {
        "subject": f"tiny{EVIL}",
        "emotions": swap(manifest["emotions"]),
        "languages": swap(manifest["languages"]),
    }
    for entry in ("labels", "concept_words"):
        inner = {lang: {names.get(e, e): v for e, v in words.items()} for lang, words in manifest[entry].items()}
        manifest[entry] = {names.get(lang, lang): words for lang, words in inner.items()}
    frames = {n: turned(getattr(bank, n)) for n in ("features", "summary", "words", "rates")}
    directions = {(k.site, names.get(k.language, k.language), k.method): v for k, v in bank.directions.items()}
    return replace(bank, **frames, manifest=manifest, directions=directions)


def _features(random: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    summary, selected = [], []
    for layer in LAYERS:
        for language in LANGUAGES:
            features = random.choice(4096, len(EMOTIONS), replace=False)
            skill = 0.62 + 0.08 * layer - 0.04 * (language == "zh")
            scores = np.clip(random.normal(skill, 0.07, len(EMOTIONS)), 0.4, 0.99)
            for i, emotion in enumerate(EMOTIONS):
                summary.append(
                    {
                        "layer": layer,
                        "language": language,
                        "emotion": emotion,
                        "feature": int(features[i]),
                        "auroc_heldout": scores[i],
                        "lo": scores[i] - 0.08,
                        "hi": min(1, scores[i] + 0.06),
                        "confirmed": bool(scores[i] > 0.75),
                        "dense_auroc": min(1, scores[i] + 0.05),
                        "specificity": scores[i] - 0.1,
                        "coverage": random.uniform(0.2, 0.9),
                        "n_words": 40,
                    }
                )
                for j, other in enumerate(EMOTIONS):
                    value = scores[i] if i == j else float(np.clip(random.normal(0.55, 0.06), 0, 1))
                    selected.append((layer, language, other, int(features[i]), value))
    return pd.DataFrame(summary), pd.DataFrame(selected, columns=["layer", "language", "emotion", "feature", "value"])


def _geometry(random: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    tests, points, pcs = [], [], []
    human = random.uniform(-1.6, 1.6, (len(EMOTIONS), 2))
    for layer in LAYERS:
        for language in LANGUAGES:
            v, a = 0.35 + 0.12 * layer, -(0.2 + 0.05 * layer)
            tests.append(
                {
                    "layer": layer,
                    "language": language,
                    "kind": "features",
                    "n_emotions": len(EMOTIONS),
                    "valence_pc": 2,
                    "valence_r": v,
                    "valence_lo": v - 0.2,
                    "valence_hi": v + 0.15,
                    "valence_p": 0.001,
                    "valence_p_layers": 0.004 if layer > 1 else 0.2,
                    "arousal_pc": 4,
                    "arousal_r": a,
                    "arousal_lo": a - 0.2,
                    "arousal_hi": a + 0.2,
                    "arousal_p": 0.21,
                    "arousal_p_layers": 0.48,
                    "rsa_rho": 0.1 * layer,
                    "rsa_lo": 0.1 * layer - 0.1,
                    "rsa_hi": 0.1 * layer + 0.12,
                    "rsa_p": 0.002 if layer == 3 else 0.3,
                    "procrustes_disparity": 0.8,
                    "procrustes_p": 0.03,
                    "readout_valence_r": 0.4,
                    "readout_valence_p": 0.01,
                    "readout_arousal_r": -0.1,
                    "readout_arousal_p": 0.6,
                    "circumplex_r": 0.2,
                    "circumplex_p": 0.15,
                    "valence_chance": 0.5,
                    "arousal_chance": 0.5,
                    "rsa_chance_lo": -0.12,
                    "rsa_chance_hi": 0.14,
                    "rsa_ceiling": 0.9,
                }
            )
            model = human + random.normal(0, 0.5, human.shape)
            points += [(layer, language, e, *human[i], *model[i]) for i, e in enumerate(EMOTIONS)]
            for pc in range(1, 11):
                pcs.append((layer, language, pc, *np.clip(random.normal(0, 0.35, 2), -1, 1)))
    placed = pd.DataFrame(
        points, columns=["layer", "language", "emotion", "human_valence", "human_arousal", "model_x", "model_y"]
    )
    return (
        pd.DataFrame(tests),
        placed.assign(kind="features", model_var_x=0.02, model_var_y=0.01, model_cov=0.006),
        pd.DataFrame(pcs, columns=["layer", "language", "pc", "r_valence", "r_arousal"]),
    )


def _ratings(random: np.random.Generator) -> pd.DataFrame:
    rows = []
    ceilings = {"valence": 0.955, "arousal": 0.831}
    base = {"all": 0.6, "selected_en": 0.52, "both": 0.5, "outside": 0.3}
    for layer in LAYERS:
        for train, test, loss in (("en", "en", 0.0), ("en", "zh", 0.25), ("zh", "zh", 0.05)):
            for dimension, ceiling in ceilings.items():
                for name, start in base.items():
                    r = start - loss + 0.03 * layer - 0.15 * (dimension == "arousal") + random.normal(0, 0.01)
                    rows.append(
                        {
                            "layer": layer,
                            "feature_set": name,
                            "train_language": train,
                            "test_language": test,
                            "dimension": dimension,
                            "r": r,
                            "rho": r - 0.02,
                            "r2": r**2,
                            "mae": 0.9,
                            "r_over_ceiling": r / ceiling,
                            "n_words": 5000,
                            "n_features": 120,
                        }
                    )
    return pd.DataFrame(rows)


def _steering(random: np.random.Generator) -> pd.DataFrame:
    rows = []
    for method in ("sae", "dense"):
        for emotion in ("joy", "sadness", "anger", "fear", "disgust", "surprise"):
            for dose in (0.0, 0.25, 0.5, 1.0, 2.0):
                works = emotion in ("joy", "sadness", "anger")
                target = 0.08 + (0.3 * dose if works else 0.01) + random.uniform(0, 0.03)
                rows.append(
                    {
                        "emotion": emotion,
                        "layer": 2,
                        "dose": dose,
                        "method": method,
                        "target": min(target, 0.95),
                        "target_unsteered": 0.08,
                        "p": 0.005 if works and dose else 0.4,
                        "p_holm": 0.03 if works and dose else 1.0,
                        "random_lo": 0.03,
                        "random_hi": 0.12 + 0.05 * dose,
                        "perplexity_ratio": 1 + 1.3 * dose**2,
                        "distinct2_ratio": 1 - 0.15 * dose,
                    }
                )
    return pd.DataFrame(rows)


def _distances(random: np.random.Generator) -> pd.DataFrame:
    rows = []
    for language in LANGUAGES:
        for i, a in enumerate(EMOTIONS):
            for b in EMOTIONS[i + 1 :]:
                people = abs(ord(a[0]) - ord(b[0])) / 8 + random.uniform(0, 0.2)
                rows.append((2, language, "features", a, b, people / 2 + random.uniform(0, 0.8), people))
    return pd.DataFrame(rows, columns=["layer", "language", "kind", "emotion_a", "emotion_b", "model", "people"])


def _words(random: np.random.Generator) -> pd.DataFrame:
    rows = []
    for language in LANGUAGES:
        for dimension in ("valence", "arousal"):
            for i in range(120):
                human = random.uniform(1, 9)
                predicted = 2.5 + 0.5 * human + random.normal(0, 0.8)
                rows.append((2, "all", language, language, dimension, f"word{i}", human, predicted))
    columns = ["layer", "feature_set", "train_language", "test_language", "dimension", "word", "human", "predicted"]
    return pd.DataFrame(rows, columns=columns)


def _learning() -> pd.DataFrame:
    rows = [
        (n, 2, name, dimension, r - 0.1 * (dimension == "arousal"), r - 0.15, r + 0.02, 0.95)
        for dimension in ("valence", "arousal")
        for name, start in (("all", 0.2), ("outside", 0.05))
        for n, r in ((250, start), (1000, start + 0.2), (4000, start + 0.3))
    ]
    columns = ["n_words_train", "layer", "feature_set", "dimension", "r", "low", "high", "ceiling"]
    return pd.DataFrame(rows, columns=columns)


def _checks(summary: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    kept = summary[summary["confirmed"]][["layer", "language", "emotion", "feature"]]
    controls = kept.assign(
        matched_auroc=0.8, matched_p_holm=0.01, token_share=0.3, lexical_token="glad <b>", lexical=False
    )
    return controls.assign(valence_auroc=0.7, valence_only=False, position_auroc=0.75, positional=True), kept.assign(
        tested_on="scenes", auroc=0.7, p_holm=0.03, transfers=True
    )


def nasty_view() -> TokenView:
    """Tokens that break careless pages."""
    tokens = [
        *("She", " opened", " the", " letter", "</script>", "<img src=x onerror=\"document.title='broken'\">"),
        *("<b>", "&amp;", "\"quoted'", "\n", " 她哭了", "🙂", "\u2028", "`${1}`", "<!--", " end"),
    ]
    values = np.random.default_rng(1).normal(0, 1, (len(tokens), 3))
    return token_view(tokens, values, ["joy", "sadness & grief", "<anger>"], layer=2, title="Nasty <text>")


def build_study(seed: int = 0) -> StudyData:
    """The whole synthetic study."""
    random = np.random.default_rng(seed)
    summary, selected = _features(random)
    controls, transfer = _checks(summary)
    alignment, points, pcs = _geometry(random)
    words = [
        "She",
        "opened",
        "the",
        "letter",
        "and",
        "wept",
        ",",
        "then",
        "she",
        "laughed",
        "at",
        "the",
        "old",
        "photograph",
        "of",
        "her",
        "brother",
        ".",
    ]
    calm = token_view(
        [w if i == 0 else f" {w}" for i, w in enumerate(words)],
        np.abs(random.normal(0, 1, (len(words), len(EMOTIONS)))),
        EMOTIONS,
        layer=2,
        title="A letter",
    )
    return StudyData(
        title="Emotion features of a synthetic subject",
        subject={
            "name": "synthetic-4l",
            "layers": 4,
            "d_model": 256,
            "SAEs": {"width": 4096, "architecture": "jumprelu"},
        },
        concepts={"languages": ["en", "zh"], "emotions": len(EMOTIONS), "words per emotion": 40},
        summary=summary,
        selected=selected,
        controls=controls,
        transfer=transfer,
        cards={"joy (en)": '<section class="ei-card"><h3>Feature 7</h3></section>'},
        alignment=alignment,
        circumplex_points=points,
        rdms=_distances(random),
        pcs=pcs,
        ratings=_ratings(random),
        predicted=_words(random),
        learning=_learning(),
        steering=_steering(random),
        steered_text=pd.DataFrame(
            {
                "emotion": ["joy", "anger <i>"],
                "prompt": ["The letter said", "</script><script>document.title='broken'</script>"],
                "unsteered": ["The letter said that the meeting was moved to Tuesday.", "Nothing\nhappened."],
                "steered": ["The letter said that we had won, and she danced!", "How dare they & their “friends” <b>!"],
                "dose": [0.5, 1.0],
            }
        ),
        traces=[calm, nasty_view()],
        manifest={"seed": 0, "versions": {"torch": "2.9.0", "sae-lens": "6.54.12"}, "bank sha256": "0f" * 32},
        warnings=["Synthetic numbers: this page shows the layout, not a result."],
    )


def hostile(study: StudyData) -> StudyData:
    """A study in which every text is hostile that a stranger's bank, norms or corpus may bring."""
    evil = {e: f"{e}{EVIL}" for e in ("joy", "anger", "fear", "sadness", "love", "awe", "disgust", "surprise")}
    changes: dict[str, Any] = {"title": f"Study {EVIL}", "warnings": [EVIL], "manifest": {EVIL: {EVIL: [EVIL, 1]}}}
    changes |= {"subject": {"name": EVIL, EVIL: {"width": EVIL}}, "concepts": {"languages": [EVIL]}}
    for name, value in vars(study).items():
        if isinstance(value, pd.DataFrame):
            frame = value.copy()
            for column in ("emotion", "emotion_a", "emotion_b"):
                if column in frame:
                    frame[column] = frame[column].replace(evil)
            for column in ("word", "prompt", "steered", "unsteered", "tested_on", "lexical_token", "method"):
                if column in frame:
                    frame[column] = frame[column].map(lambda v: f"{v}{EVIL}")
            changes[name] = frame
    return replace(study, **changes)

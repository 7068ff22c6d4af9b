"""Concepts, norms, features: what is read from a subject, and what its banks hold."""

from __future__ import annotations

import tempfile
from pathlib import Path

import emotion_interp as ei
from benchmarks.same_tables import shared
from benchmarks.same_tables.registry import Parts, table
from benchmarks.same_tables.shared import EMOTIONS, TEXTS, bank, concepts, few, scenes_bank, subject, words_bank


@table
def subjects() -> Parts:
    yield "tokens", lambda: [[list(t.ids) for t in subject().tokenize(texts)] for texts in (TEXTS, shared.CHINESE)]
    yield "greedy", lambda: subject().generate(shared.PROMPTS["en"][0], max_new_tokens=12, do_sample=False)
    yield "sampled", lambda: subject().generate(shared.PROMPTS["en"][0], max_new_tokens=12, do_sample=True, seed=3)
    yield "uncached", lambda: subject().generate(TEXTS[0], max_new_tokens=6, do_sample=False, use_past_kv_cache=False)
    yield "sites", lambda: [str(site) for site in subject().sites]
    kinds = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")
    yield "site_names", lambda: [str(ei.Site(layer, kind)) for layer in (0, 3) for kind in kinds]


@table
def concept_sets() -> Parts:
    for language in ("en", "es", "zh"):
        yield language, ei.concept_set(language).to_frame
        yield f"{language}_large", ei.concept_set(language, "large").to_frame
    yield "split", lambda: concepts().split(0)
    yield "sha256", lambda: concepts().sha256
    yield "siblings", lambda: {e: concepts().siblings(e) for e in concepts().emotions}
    yield "stimuli", lambda: _stimuli(concepts().stimuli())
    with tempfile.TemporaryDirectory() as folder:
        few().to_toml(Path(folder) / "own.toml")
        yield "written", ei.ConceptSet.from_toml(Path(folder) / "own.toml").to_frame
    yield "neutral", lambda: {x: concepts().neutral(x) for x in concepts().languages}


@table
def stimuli() -> Parts:
    yield "scenes", lambda: _stimuli(ei.scene_stimuli(("en", "zh")))
    yield "scenes_few", lambda: _stimuli(ei.scene_stimuli(("en",), EMOTIONS))
    yield "labelled", lambda: _stimuli(ei.labelled_stimuli(TEXTS, ["sadness", "joy", "fear", "neutral"], "en"))
    if shared.data():
        yield "stories", lambda: _stimuli(ei.corpus_stimuli("stories", limit=8))
        yield "goemotions", lambda: _stimuli(ei.corpus_stimuli("goemotions", limit=8))


def _stimuli(shown: list[ei.Stimulus]) -> list[dict]:
    return [vars(s) | {"span": list(s.span)} for s in shown]


@table
def norms() -> Parts:
    for name in ei.norms_table()["name"]:
        try:
            found = ei.load_norms(name)
        except ei.EmotionInterpError:
            # not here: one that was here when the tables were kept is then missing
            continue
        yield f"{name}_table", found.to_frame
        yield f"{name}_figures", lambda found=found: _norm_figures(found)
    asked = ["joy", "Fear", "sadness", "happyness", "rage", "zzz"]
    yield "lookup", lambda: ei.load_norms().lookup(asked)
    yield "match_report", lambda: ei.load_norms().match_report(asked)
    yield "rescaled", lambda: ei.load_norms().rescale(0, 1).to_frame()
    yield "registry", lambda: ei.norms_table()[["name", "language", "unit", "dimensions", "licence"]]


def _norm_figures(norms: ei.Norms) -> dict:
    return {"reliability": norms.reliability, "ceiling": norms.ceiling, "n": len(norms), "scale": norms.scale}


@table
def shipped_banks() -> Parts:
    for folder in shared.shipped_folders():
        for name, value in shared.bank_parts(ei.FeatureBank.load(folder)):
            yield f"{folder.name}.{name}", value


@table
def found_words() -> Parts:
    yield from shared.bank_parts(words_bank())
    yield "by_emotion", lambda: words_bank().table("joy", layer=2, language="en", min_auroc=0.6)
    yield "unit_activations", lambda: words_bank().unit_activations(2, "en")[1].toarray().sum(0)


@table
def found_scenes() -> Parts:
    yield from shared.bank_parts(scenes_bank())


@table
def found_own_texts() -> Parts:
    """Texts of a user, in groups."""
    scenes = ei.scene_stimuli(("en",), EMOTIONS[:3])
    texts, emotions = [s.text for s in scenes], [s.emotion for s in scenes]
    shown = ei.labelled_stimuli(texts, emotions, "en", [i // 2 for i in range(len(texts))])
    found = ei.find_features(subject(), ei.concept_set("en"), [1], stimuli=shown, skip=4, seed=1)
    yield from shared.bank_parts(found)


@table
def confirmation() -> Parts:
    for name, found in (("words", words_bank()), ("scenes", scenes_bank())):
        again = ei.with_confirmation(found, few(), n_permutations=199)
        yield f"{name}_summary", lambda again=again: again.summary


@table
def feature_controls() -> Parts:
    yield "words", ei.feature_controls(subject(), few(), words_bank()).to_frame
    yield "scenes", ei.feature_controls(subject(), few(), scenes_bank(), rows="kept").to_frame


@table
def transfer() -> Parts:
    found = ei.transfer(subject(), few(), words_bank(), "scenes", n_resamples=99)
    yield "table", found.to_frame
    yield "by_layer", found.by_layer
    back = ei.transfer(subject(), few(), scenes_bank(), "words", n_resamples=99)
    yield "back", back.to_frame
    yield "added", lambda: back.add_to(scenes_bank()).extras["transfer"]


@table
def sparse_probes() -> Parts:
    probes = ei.sparse_probes(subject(), few(), (1, 4), layers=[2])
    yield "table", probes.to_frame
    yield "baselines", probes.baselines
    yield "by_layer", probes.by_layer
    added = probes.add_to(words_bank())
    yield "directions", lambda: shared.directions(shared.at(added, 2), ["probe_k1", "probe_k4"])


@table
def shared_banks() -> Parts:
    """A bank pushed to a folder, pulled from it, and saved."""
    with tempfile.TemporaryDirectory() as folder:
        ei.push_bank(scenes_bank(), Path(folder) / "pushed")
        pulled = ei.pull_bank(Path(folder) / "pushed", Path(folder) / "pulled")
        loaded = ei.FeatureBank.load(Path(folder) / "pulled")
    for name, found in (("pulled", pulled), ("loaded", loaded)):
        yield f"{name}_table", lambda found=found: shared.full_table(found)
        yield f"{name}_directions", lambda found=found: shared.directions(found)


@table
def universality() -> Parts:
    for name, made in (("shipped", bank()), ("scenes", scenes_bank())):
        for features in ("selected", "nominal"):
            try:
                found = ei.universality(made, "en", "zh", n_permutations=199, features=features)
            except ei.EmotionInterpError as error:
                yield f"{name}_{features}", str(error)
                continue
            yield f"{name}_{features}", found.to_frame
            yield f"{name}_{features}_by_layer", found.by_layer


@table
def feature_outputs() -> Parts:
    yield "words", ei.output_scores(subject(), words_bank(), [2], n_random=49, features="scored").to_frame
    scores = ei.output_scores(subject(), scenes_bank(), [2], n_random=49, max_q=0.5)
    yield "scenes", scores.to_frame
    added = scores.add_to(scenes_bank())
    yield "joined", lambda: shared.full_table(added, layer=2)
    promoting = ei.with_output_directions(subject(), added)
    yield "directions", lambda: shared.directions(shared.at(promoting, 2), ["sae_output"])
    yield "decoder_null", ei.output_scores(subject(), bank(), [1], ["en"], n_random=49, seed=2).to_frame


@table
def feature_views() -> Parts:
    lens = ei.token_lens(subject(), words_bank(), [2], n_tokens=5)
    yield "lens", lens.to_frame
    examples = ei.top_examples(subject(), words_bank(), TEXTS + shared.CHINESE, [2], k=3)
    yield "examples", examples.to_frame
    shown = examples.add_to(lens.add_to(words_bank()))
    chosen = int(shown.features.sort_values(["layer", "feature"]).query("layer == 2")["feature"].iloc[0])
    yield "card", lambda: ei.feature_card(shown, 2, chosen).to_frame()


@table
def traces() -> Parts:
    for name, text in (("en", TEXTS[0]), ("zh", shared.CHINESE[0])):
        for kind in ("features", "dense"):
            trace = ei.emotion_trace(subject(), text, bank(), kind=kind)
            yield f"{name}_{kind}", trace.to_frame
    yield "one_layer", lambda: ei.emotion_trace(subject(), TEXTS[1], words_bank(), layers=[1], language="zh").to_frame()

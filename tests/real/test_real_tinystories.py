"""A real pretrained model that nobody here trained: reduced forms of the commands in the README."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest

import emotion_interp as ei
from emotion_interp.core import Site

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def tinystories(shared_data):
    folder = shared_data / "models" / "tinystories-instruct-3m-chat"
    if not folder.is_dir():
        pytest.skip("the shared TinyStories model is not under EMOTION_INTERP_DATA/models")
    return ei.load_subject(folder)


@pytest.fixture(scope="module")
def stories(shared_data):
    path = shared_data / "corpora" / "emotion_stories.jsonl.gz"
    if not path.is_file():
        pytest.skip("emotion_stories.jsonl.gz is not under EMOTION_INTERP_DATA/corpora")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return pd.DataFrame([r for r in rows if r["topic_idx"] in (72, 73)])


def test_valence_rises_from_the_embedding_to_the_middle_layers(tinystories, stories, shared_data):
    from emotion_interp.geometry import text_spaces
    from emotion_interp.geometry.from_bank import rated_only

    norms = ei.load_norms("warriner", path=shared_data / "norms" / "Ratings_Warriner_et_al.csv")
    rated = norms.lookup(sorted(set(stories["emotion"]))).dropna(subset=["valence"])["word"]
    kept = stories[stories["emotion"].isin(rated)]
    sites = [Site(0, "resid_pre"), Site(4), Site(5)]
    spaces = text_spaces(tinystories, kept["text"].tolist(), kept["emotion"].tolist(), sites=sites)
    spaces = rated_only(spaces, rated)
    found = {}
    for (site, _), space in spaces.items():
        alignment = ei.align(space, norms, n_permutations=199)
        found[site] = abs(alignment.valence.r)
        assert alignment.valence.p <= 0.01
    assert found[Site(0, "resid_pre")] < max(found[Site(4)], found[Site(5)])
    assert max(found[Site(4)], found[Site(5)]) > 0.55


def test_saes_train_on_it_and_a_study_runs(tinystories, stories, tmp_path):
    from emotion_interp.training import SaeRecipe, train_saes

    recipe = SaeRecipe(tokens=24_576, d_sae=512, layers=(3,))
    result = train_saes(tinystories, stories["text"].tolist(), tmp_path / "saes", recipe)
    figures = result.to_frame().iloc[0]
    assert figures["explained_variance"] > 0.3
    assert 12 < figures["l0"] < 48
    subject = ei.Subject(tinystories.model, saes=result.saes(), tokenizer=tinystories.tokenizer, name="tinystories")
    concepts = ei.concept_set("en").subset(emotions=["anger", "fear", "joy", "sadness", "calm", "love"])
    settings = {"n_permutations": 199, "stages": ("features", "alignment", "traces")}
    study = ei.run_study(subject, concepts, tmp_path / "study", stimuli="scenes", **settings)
    assert study.report.is_file()
    assert np.isfinite(study.alignment["valence_r"]).all()
    again = ei.run_study(subject, concepts, tmp_path / "study", stimuli="scenes", **settings)
    assert again.ran == ()


def test_generation_continues_a_story(tinystories):
    text = tinystories.generate("Once upon a time there was a little", max_new_tokens=12)
    assert text.startswith("Once upon a time there was a little")
    assert len(text) > len("Once upon a time there was a little") + 10

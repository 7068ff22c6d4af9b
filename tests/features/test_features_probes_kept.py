"""Probes of every site, kept in the bank and steered with."""

import numpy as np
import pytest

import emotion_interp as ei
from emotion_interp.bank import FeatureBank
from emotion_interp.core import EmotionInterpError, Site, UnknownNameError
from emotion_interp.features.probes import SparseProbes
from tests.conftest import make_sae

NARROW = Site(0, sae="64")


@pytest.fixture(scope="module")
def several(tiny_subject):
    """Two widths at one hook point, another kind of site in the same layer, and a layer with one SAE."""
    saes = [make_sae(0), make_sae(0, d_sae=64, seed=7), make_sae(0, "mlp_out", seed=3), make_sae(1)]
    return ei.Subject(tiny_subject.model, saes=saes, tokenizer=tiny_subject.tokenizer, name="several")


@pytest.fixture(scope="module")
def bank(several, small_concepts):
    return ei.find_features(several, small_concepts)


@pytest.fixture(scope="module")
def probes(several, small_concepts):
    return ei.sparse_probes(several, small_concepts, (1, 4))


def test_probes_are_fitted_at_every_site_of_a_layer(several, probes):
    assert probes.sites == several.sites
    frame = probes.to_frame()
    assert len(frame) == 4 * 2 * 4 * 2
    assert list(probes.by_layer().columns[:3]) == ["layer", "site", "language"]
    row = frame[(frame["site"] == str(NARROW)) & (frame["emotion"] == "joy") & (frame["k"] == 4)].iloc[0]
    rows = several.readers[NARROW].decoder_rows(row["features"]).double().numpy()
    direction = probes.direction("joy", NARROW, 4, row["language"])
    assert np.allclose(direction.vector, np.array(row["weights"]) @ rows, atol=1e-6)
    assert direction.site == Site(0)


def test_a_bank_keeps_probes_and_steers_with_them(several, bank, probes, tmp_path):
    kept = FeatureBank.load(probes.add_to(bank).save(tmp_path / "bank"))
    assert bank.methods == ["dense", "dense_clean", "sae"]
    assert kept.methods == ["dense", "dense_clean", "probe_k1", "probe_k4", "sae"]
    assert len(kept.extras["probes"]) == len(probes.to_frame())
    assert list(kept.extras["probes"]["features"].iloc[1]) == list(probes.to_frame()["features"].iloc[1])
    for site in bank.sites:
        for emotion in bank.emotions:
            got = kept.direction(emotion, site, "zh", method="probe_k4")
            assert np.allclose(got.vector, probes.direction(emotion, site, 4, "zh").vector, atol=1e-5)
    with ei.steer(several, kept.direction("joy", NARROW, method="probe_k4"), dose=0.5):
        assert several.generate("The word", max_new_tokens=2)
    # added again with other sizes: the old ones go
    again = SparseProbes(
        probes.frame[probes.frame["k"] == 1],
        probes.dense,
        {k: v for k, v in probes.vectors.items() if k[3] == 1},
        probes.source,
    ).add_to(kept)
    assert again.methods == ["dense", "dense_clean", "probe_k1", "sae"]


def test_means_and_unknown_methods_are_no_directions(bank):
    for method in ("means", "probe_k4", "sea"):
        with pytest.raises(UnknownNameError, match="direction method.*dense, dense_clean, sae"):
            bank.direction("joy", 0, method=method)


def test_probes_that_do_not_belong_to_a_bank_are_refused(several, bank, probes, tiny_bank, small_concepts):
    with pytest.raises(EmotionInterpError, match="belong to the subject 'several'"):
        probes.add_to(tiny_bank)
    other = ei.sparse_probes(several, small_concepts, (1,), layers=[1], seed=5)
    with pytest.raises(EmotionInterpError, match="another seed than the bank.*holds out"):
        other.add_to(bank)
    part = ei.find_features(several, small_concepts, layers=[1])
    with pytest.raises(UnknownNameError, match="site 'blocks.0"):
        probes.add_to(part)
    few = small_concepts.subset(emotions=["joy", "fear"])
    with pytest.raises(EmotionInterpError, match="concept sets"):
        ei.sparse_probes(several, few, (1,), layers=[1]).add_to(bank)
    # other stimuli are another split, and hold out other words
    scenes = ei.sparse_probes(several, small_concepts, (1,), layers=[1], stimuli="scenes").add_to(bank)
    assert "probe_k1" in scenes.methods


def test_probes_fitted_on_a_banks_texts_in_another_order_are_refused(several):
    from emotion_interp.concepts import scene_stimuli

    texts = list(scene_stimuli(["en"], ["joy", "fear", "anger"]))
    english = ei.concept_set("en")
    # as labelled texts of a user, who gave each a group of its own
    texts = ei.concepts.labelled_stimuli([s.text for s in texts], [s.emotion for s in texts])
    bank = ei.find_features(several, english, stimuli=texts)
    probes = ei.sparse_probes(several, english, (1,), stimuli=texts)
    assert "probe_k1" in probes.add_to(bank).methods
    turned = ei.concepts.labelled_stimuli([s.text for s in texts[::-1]], [s.emotion for s in texts[::-1]])
    with pytest.raises(EmotionInterpError, match="other texts"):
        ei.sparse_probes(several, english, (1,), stimuli=turned).add_to(bank)

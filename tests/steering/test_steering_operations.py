"""Taking away: what is projected out or ablated is gone, nothing else moves, and no hook stays."""

from __future__ import annotations

import numpy as np
import pytest

from emotion_interp.core import Direction, EmotionInterpError, Site, UnknownNameError, UnsupportedError
from emotion_interp.judges import content_overlap, content_similarity, content_words
from emotion_interp.steering import ablate_rows, project_out, sae_operation
from emotion_interp.subjects import Subject
from emotion_interp.subjects.generation import decode

TEXT = "The old man was sad and calm, the woman"


def a_direction(seed: int, kind: str = "resid_post", layer: int = 1) -> Direction:
    return Direction(np.random.default_rng(seed).normal(size=16), layer, kind)


def stream(subject, ids, name: str):
    import torch

    with torch.no_grad():
        return subject.model.run_with_cache(torch.tensor([ids]))[1][name][0].numpy()


@pytest.mark.parametrize("kind", ["resid_post", "resid_pre", "attn_out", "mlp_out"])
def test_projecting_out_leaves_nothing_along_the_direction_and_all_else(subject, kind):
    ids = list(subject.tokenize([TEXT])[0].ids)
    site, direction = Site(1, kind), a_direction(1, kind)
    before = stream(subject, ids, site.hook_name)
    after = _after(subject, ids, site, [direction])
    u = direction.unit.astype(np.float64)
    assert np.abs(after - (before - np.outer(before @ u, u))).max() < 1e-4 * np.abs(before).max()


def _after(subject, ids, site, directions):
    """The stream at a site behind the hook that writes it: a later hook at the same point sees the change."""
    import torch

    seen = []
    with project_out(subject, directions, "all_with_bos"):
        fwd = [(site.hook_name, lambda x, hook: seen.append(x.detach().clone()))]
        with torch.no_grad(), subject.model.hooks(fwd_hooks=fwd):
            subject.model(torch.tensor([ids]))
    return seen[0][0].numpy()


def test_several_directions_are_removed_as_a_span(subjects):
    subject = subjects["gpt2"]
    ids = list(subject.tokenize([TEXT])[0].ids)
    one, two = a_direction(1), a_direction(2)
    before = stream(subject, ids, one.site.hook_name)
    after = _after(subject, ids, one.site, [one, two, one])
    plane = np.linalg.qr(np.stack([one.unit, two.unit]).T.astype(np.float64))[0]
    assert np.abs(after - (before - before @ plane @ plane.T)).max() < 1e-4


def test_projecting_out_is_the_same_with_and_without_cache_and_leaves_no_hook(subject, hooks_on):
    rows = [list(t.ids) for t in subject.tokenize([TEXT, "She was"])]
    count = hooks_on(subject)
    kept = []
    for cache in (True, False):
        with project_out(subject, a_direction(3), "all"):
            kept.append(decode(subject, rows, 6, use_past_kv_cache=cache, return_logits=True))
    assert kept[0].tokens == kept[1].tokens
    for a, b in zip(kept[0].logits, kept[1].logits, strict=True):
        assert float((a - b).abs().max()) < 1e-4
    with pytest.raises(ZeroDivisionError), project_out(subject, a_direction(3)):
        raise ZeroDivisionError
    assert hooks_on(subject) == count


def test_what_cannot_be_projected_out_is_refused_before_any_hook(subjects, hooks_on):
    subject = subjects["gpt2"]
    count = hooks_on(subject)
    for given, error in (
        ([], EmotionInterpError),
        (a_direction(1, "resid_mid"), UnsupportedError),
        (Direction(np.ones(15), 1), EmotionInterpError),
        (Direction(np.ones(16), 9), EmotionInterpError),
    ):
        with pytest.raises(error), project_out(subject, given):
            pass
    assert hooks_on(subject) == count


# -- rows -------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def with_sae(subjects, tokenizer):
    import torch
    from sae_lens import StandardSAE, StandardSAEConfig
    from sae_lens.saes.sae import SAEMetadata

    made = {}
    for name in ("gpt2", "hooked"):
        config = StandardSAEConfig(
            d_in=16, d_sae=24, dtype="float32", device="cpu", metadata=SAEMetadata(hook_name=Site(1).hook_name)
        )
        sae = StandardSAE(config)
        torch.manual_seed(4)
        for parameter in sae.parameters():
            parameter.data = torch.randn_like(parameter) * 0.3
        made[name] = Subject(subjects[name].model, [sae.eval()], tokenizer)
    return made


@pytest.mark.parametrize("name", ["gpt2", "hooked"])
@pytest.mark.parametrize("cache", [True, False])
def test_each_row_loses_its_own_features_as_if_alone(with_sae, name, cache):
    subject = with_sae[name]
    rows = [list(t.ids) for t in subject.tokenize([TEXT, "She was", "The letter said that"])]
    sets = [[3, 17], [], [5]]
    with ablate_rows(subject, 1, sets):
        together = decode(subject, rows, 5, use_past_kv_cache=cache, return_logits=True)
    for i, (row, features) in enumerate(zip(rows, sets, strict=True)):
        if features:
            with sae_operation(subject, 1, features, "ablate", positions="all"):
                alone = decode(subject, [row], 5, return_logits=True)
        else:
            alone = decode(subject, [row], 5, return_logits=True)
        assert alone.tokens[0] == together.tokens[i]
        assert float((alone.logits[0] - together.logits[i]).abs().max()) < 1e-4


def test_ablating_nothing_adds_no_hook_and_wrong_features_are_named(with_sae, hooks_on):
    subject = with_sae["gpt2"]
    count = hooks_on(subject)
    with ablate_rows(subject, 1, [[], []]):
        assert hooks_on(subject) == count
    with pytest.raises(UnknownNameError, match="24"), ablate_rows(subject, 1, [[24]]):
        pass
    with pytest.raises(UnknownNameError, match="site"), ablate_rows(subject, 2, [[1]]):
        pass
    with pytest.raises(EmotionInterpError, match="1 rows"), ablate_rows(subject, 1, [[1]]):
        subject.generate(["The", "She"], max_new_tokens=1)
    assert hooks_on(subject) == count


@pytest.mark.parametrize("name", ["gpt2", "hooked"])
def test_features_of_resid_mid_are_refused_since_it_is_written_elsewhere(subjects, tokenizer, name):
    import torch
    from sae_lens import StandardSAE, StandardSAEConfig
    from sae_lens.saes.sae import SAEMetadata

    site = Site(1, "resid_mid")
    config = StandardSAEConfig(
        d_in=16, d_sae=4, dtype="float32", device="cpu", metadata=SAEMetadata(hook_name=site.hook_name)
    )
    torch.manual_seed(0)
    subject = Subject(subjects[name].model, [StandardSAE(config).eval()], tokenizer)
    with pytest.raises(UnsupportedError, match="not replaced"), sae_operation(subject, site, 1, "ablate"):
        pass
    with pytest.raises(UnsupportedError, match="not replaced"), ablate_rows(subject, site, [[1]]):
        pass


# -- content ----------------------------------------------------------------------------------------------------------
def test_content_words_leave_out_function_words_and_case():
    assert content_words("The Train was late, and it's the driver’s fault") == {"train", "late", "driver", "fault"}
    assert content_words("我在火车站等你", "zh") == {"火车", "车站", "站等"}


def test_overlap_is_the_share_of_the_unsteered_words_that_stay():
    before = ["The train was late in the rain", "the of and", "Bread"]
    after = ["Joy! A late train, a late train", "anything", "stone"]
    overlap = content_overlap(before, after)
    assert np.allclose(overlap, [2 / 3, np.nan, 0], equal_nan=True)
    with pytest.raises(EmotionInterpError, match="same length"):
        content_overlap(before, after[:1])


def test_similarity_is_the_cosine_of_tf_idf_vectors_worked_out_by_hand():
    before, after = ["late train rain", "bread", "the of"], ["late train", "bread", "stone"]
    words = [set(t.split()) - {"the", "of"} for t in (*before, *after)]
    known = sorted(set().union(*words))
    idf = {w: np.log((1 + 6) / (1 + sum(w in s for s in words))) + 1 for w in known}
    rows = np.array([[idf[w] * (w in s) for w in known] for s in words])
    lengths = np.linalg.norm(rows, axis=1)
    expected = [rows[i] @ rows[i + 3] / (lengths[i] * lengths[i + 3]) if lengths[i] else np.nan for i in range(3)]
    found = content_similarity(before, after)
    np.testing.assert_allclose(found, expected)
    np.testing.assert_allclose(found, content_similarity(after, before))
    assert 0 < found[0] < found[1] == pytest.approx(1) and np.isnan(content_similarity(["the"], ["of"])).all()
    with pytest.raises(EmotionInterpError, match="content_similarity compares two lists"):
        content_similarity("the train", ["the train"])

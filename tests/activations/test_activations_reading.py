"""Reading against the plain transformers model, and the traps of reading."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from emotion_interp.activations import read_tokens, read_units, site_scale
from emotion_interp.activations.forward import batches, forward_pass
from emotion_interp.activations.reading import SINK_FACTOR
from emotion_interp.core import EmotionInterpError, NotFiniteError, Site, UnknownNameError
from emotion_interp.subjects import span_tokens

TEXTS = [
    "The word was joy",
    "She wrote down sadness and more",
    "他很快乐",
    "x",
    "They spoke about the fear of a spider",
]
SPANS = [(13, 16), (15, 22), (2, 4), (0, 1), (21, 25)]


def hidden(gpt2, subject, text):
    """hidden_states of the plain model: [layer + 1][token, d]."""
    ids = torch.tensor([subject.tokenize([text])[0].ids])
    with torch.no_grad():
        return [h[0] for h in gpt2(ids, output_hidden_states=True).hidden_states]


@pytest.mark.parametrize("position", ["last", "span", "text", "end"])
@pytest.mark.parametrize("batch_tokens", [8, 4096])
def test_every_position_equals_the_plain_model_text_by_text(tiny_subject, gpt2, position, batch_tokens):
    site = Site(1)
    got = read_units(
        tiny_subject, TEXTS, range(5), spans=SPANS, sites=[site], position=position, batch_tokens=batch_tokens
    )
    for i, text in enumerate(TEXTS):
        states = hidden(gpt2, tiny_subject, text)[2]
        tokens = tiny_subject.tokenize([text])[0]
        pick = {
            "last": span_tokens(tokens, SPANS[i])[-1:],
            "span": span_tokens(tokens, SPANS[i]),
            "text": np.arange(1, len(tokens)),
            "end": [len(tokens) - 1],
        }[position]
        expected = states[list(pick)].mean(0).numpy()
        assert np.allclose(got[site].dense[i], expected, atol=1e-4)


def test_features_are_pooled_after_encoding(tiny_subject, gpt2):
    site = Site(0)
    got = read_units(tiny_subject, TEXTS, range(5), spans=SPANS, sites=[site], position="span")[site].features.toarray()
    reader = tiny_subject.readers[site]
    for i, text in enumerate(TEXTS):
        rows = hidden(gpt2, tiny_subject, text)[1][span_tokens(tiny_subject.tokenize([text])[0], SPANS[i])]
        assert np.allclose(got[i], reader.encode(rows).mean(0).numpy(), atol=1e-4)
        if len(rows) > 1:
            before = reader.encode(rows.mean(0, keepdim=True))[0].numpy()
            assert not np.allclose(got[i], before, atol=1e-3)


def test_units_average_their_stimuli_not_the_tokens(tiny_subject):
    site = Site(0)
    alone = read_units(tiny_subject, TEXTS, range(5), sites=[site], position="text")[site]
    joined = read_units(tiny_subject, TEXTS, [0, 0, 1, 1, 1], sites=[site], position="text")[site]
    assert np.allclose(joined.dense[0], alone.dense[:2].mean(0), atol=1e-5)
    assert np.allclose(joined.features[1].toarray(), alone.features[2:].toarray().mean(0), atol=1e-5)
    fired = (alone.features[2:].toarray() > 0).mean(0)
    assert np.allclose(joined.fired[1].toarray()[0], fired, atol=1e-6)


def test_a_hooked_transformer_reads_as_its_own_cache_does(hooked_subject, hooked_model):
    site = Site(1)
    got = read_units(hooked_subject, TEXTS, range(5), spans=SPANS, sites=[site, Site(0)], position="last")
    for i, text in enumerate(TEXTS):
        tokens = hooked_subject.tokenize([text])[0]
        _, cache = hooked_model.run_with_cache(torch.tensor([tokens.ids]))
        last = span_tokens(tokens, SPANS[i])[-1]
        assert np.allclose(got[site].dense[i], cache[site.hook_name][0, last].numpy(), atol=1e-4)


@pytest.mark.parametrize("kind", ["resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "z"])
def test_every_kind_of_site_is_read_on_both_backends(tiny_subject, hooked_subject, kind):
    for subject in (tiny_subject, hooked_subject):
        _, cache = subject.model.run_with_cache(torch.tensor([subject.tokenize(["fear"])[0].ids]))
        site = Site(2, kind)
        got = read_units(subject, ["fear"], [0], sites=[site], position="end")[site].dense[0]
        assert np.allclose(got, cache[site.hook_name][0, -1].flatten().numpy(), atol=1e-4)


def test_trap_hooks_are_keyed_by_the_site_asked_for_not_by_the_canonical_name(tiny_subject):
    sites = [Site(0), Site(1, "resid_pre")]
    got = read_units(tiny_subject, TEXTS, range(5), sites=sites, position="end")
    assert set(got) == set(sites)
    assert np.allclose(got[sites[0]].dense, got[sites[1]].dense, atol=1e-6)


def test_trap_an_unknown_hook_is_refused_not_ignored(tiny_subject):
    with pytest.raises(UnknownNameError, match="layer"):
        read_units(tiny_subject, ["a"], [0], sites=[Site(9)], position="end")


def test_trap_nothing_after_the_last_site_runs(tiny_subject):
    ran = []
    handle = tiny_subject.model.blocks[2].register_forward_hook(lambda *_: ran.append("block 2"))
    head = tiny_subject.model.original_model.lm_head.register_forward_hook(lambda *_: ran.append("unembedding"))
    try:
        read_units(tiny_subject, ["a b c"], [0], sites=[Site(2)], position="end")
        assert ran == ["block 2"] or ran == []
        read_units(tiny_subject, ["a b c"], [0], sites=[Site(0)], position="end")
        assert "unembedding" not in ran
    finally:
        handle.remove()
        head.remove()


def test_trap_bos_is_never_read(tiny_subject, gpt2):
    got = read_units(tiny_subject, ["a b c d"], [0], sites=[Site(1)], position="text")[Site(1)]
    states = hidden(gpt2, tiny_subject, "a b c d")[2]
    assert np.allclose(got.dense[0], states[1:].mean(0).numpy(), atol=1e-4)
    assert not np.allclose(got.dense[0], states.mean(0).numpy(), atol=1e-3)


def test_trap_attention_sinks_are_left_out_of_pooling_and_scale(tiny_subject):
    """A token whose norm is far above the median, anywhere in the text, does not enter."""
    site = Site(0)
    plain = read_units(tiny_subject, ["a b c d e f"], [0], sites=[site], position="text")[site]
    tokens = tiny_subject.tokenize(["a b c d e f"])[0]
    rows = read_tokens(tiny_subject, "a b c d e f", [site]).dense[site]
    sink = 3

    def blow_up(activations, hook):
        activations = activations.clone()
        activations[:, sink] *= 10 * SINK_FACTOR
        return activations

    with tiny_subject.model.hooks(fwd_hooks=[("blocks.0.hook_resid_post", blow_up)]):
        got = read_units(tiny_subject, ["a b c d e f"], [0], sites=[site], position="text")[site]
    kept = [i - 1 for i in range(1, len(tokens)) if i != sink]
    assert np.allclose(got.dense[0], rows[kept].mean(0).numpy(), atol=1e-4)
    assert got.scale < 3 * plain.scale


def test_trap_one_chinese_character_over_several_tokens_is_one_span(tiny_subject):
    text = "她说：鼹鼠"
    tokens = tiny_subject.tokenize([text])[0]
    hits = span_tokens(tokens, (3, 4))
    assert len(hits) > 1, "the test needs a character that is split"
    assert {tokens.offsets[i] for i in hits} == {(3, 4)}


def test_nan_activations_are_refused(tokenizer):
    import emotion_interp as ei
    from tests.conftest import make_gpt2

    model = make_gpt2(tokenizer)
    with torch.no_grad():
        model.transformer.h[1].mlp.c_proj.bias[0] = float("nan")
    subject = ei.Subject(model, tokenizer=tokenizer)
    with pytest.raises(NotFiniteError, match="NaN or infinite activations"):
        read_units(subject, ["a"], [0], sites=[Site(1)], position="end")


def test_a_word_that_becomes_no_token_is_named(tiny_subject):
    with pytest.raises(EmotionInterpError, match="becomes no token"):
        read_units(tiny_subject, [""], [0], sites=[Site(0)], position="end")
    long = "a " * 200
    with pytest.raises(EmotionInterpError, match="beyond the context"):
        read_units(tiny_subject, [long + "joy"], [0], spans=[(len(long), len(long) + 3)], sites=[Site(0)])


def test_the_models_mode_and_hooks_are_put_back_after_an_error(tiny_subject):
    tiny_subject.model.blocks[0].training = True
    try:
        with pytest.raises(RuntimeError):
            forward_pass(tiny_subject, tiny_subject.tokenize(["a"]), [Site(0)], _explode)
        assert tiny_subject.model.blocks[0].training
        assert not any(point.fwd_hooks for point in tiny_subject.model.hook_dict.values())
    finally:
        tiny_subject.model.blocks[0].training = False


def _explode(*_):
    raise RuntimeError("in the hook")


@given(st.lists(st.integers(1, 60), min_size=1, max_size=60), st.integers(1, 300))
@settings(max_examples=25)
def test_batches_hold_every_text_once_within_the_budget(lengths, budget):
    found = list(batches(lengths, budget))
    assert sorted(np.concatenate(found)) == list(range(len(lengths)))
    for rows in found:
        assert len(rows) == 1 or len(rows) * max(lengths[r] for r in rows) <= budget


def test_the_scale_is_the_median_norm_over_real_tokens(tiny_subject):
    import emotion_interp as ei

    tiny_subject.scales.pop(Site(1), None)
    scale = site_scale(tiny_subject, Site(1))
    concepts = ei.concept_set("en")
    texts = [s.text for s in concepts.stimuli(templates=["t0"]) if s.emotion == "neutral"]
    norms = np.concatenate([read_tokens(tiny_subject, t, [Site(1)]).dense[Site(1)].norm(dim=1).numpy() for t in texts])
    assert scale == pytest.approx(np.median(norms[norms <= SINK_FACTOR * np.median(norms)]), rel=1e-4)
    assert tiny_subject.scales[Site(1)] == scale


def test_trap_a_left_padding_tokenizer_whose_pad_is_bos_hides_no_bos(hooked_subject):
    """HookedTransformer guesses a mask from pad ids under such a tokenizer."""
    site = Site(1)
    expected = read_units(hooked_subject, TEXTS, range(5), spans=SPANS, sites=[site])[site].dense
    tokenizer = hooked_subject.model.tokenizer
    side = tokenizer.padding_side
    tokenizer.padding_side = "left"
    try:
        got = read_units(hooked_subject, TEXTS, range(5), spans=SPANS, sites=[site])[site].dense
        assert tokenizer.padding_side == "left"
    finally:
        tokenizer.padding_side = side
    assert np.allclose(got, expected, atol=1e-5)

"""Exactly one BOS on every path, true offsets, nothing cut without a word."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest

import emotion_interp as ei
from emotion_interp.activations import read_units
from emotion_interp.core import EmotionInterpError, Site
from emotion_interp.subjects import span_tokens
from emotion_interp.subjects.generation import decode, token_log_probabilities

BOS = "<s>"


def byte_tokenizer(bos: str | None = BOS, eos: str = "</s>", adds_bos: bool = False, folder=None):
    """Bytes alone; may have no BOS, or put one before every text itself."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    specials = [eos] if bos is None else [bos, eos]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: i for i, piece in enumerate([*specials, *letters])}
    inner = Tokenizer(models.BPE(vocabulary, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    if adds_bos:
        inner.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, vocabulary[bos])]
        )
    names = {"eos_token": eos, "pad_token": eos, **({} if bos is None else {"bos_token": bos})}
    made = PreTrainedTokenizerFast(tokenizer_object=inner, **names)
    if folder is None:
        return made
    made.save_pretrained(str(folder))
    return AutoTokenizer.from_pretrained(str(folder))


def model_for(tokenizer, context: int = 32):
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=context, n_embd=16, n_layer=2, n_head=2, initializer_range=0.3
    )
    config.bos_token_id, config.eos_token_id = tokenizer.bos_token_id, tokenizer.eos_token_id
    return GPT2LMHeadModel(config).eval()


def wrapped(tokenizer, **options):
    return ei.Subject(model_for(tokenizer, **options), tokenizer=tokenizer, name="bytes")


@pytest.fixture(scope="module")
def subject():
    return wrapped(byte_tokenizer())


def ids_of(subject, text):
    return subject.tokenize([text])[0].ids


@pytest.mark.parametrize("adds_bos", [False, True])
@pytest.mark.parametrize("text", ["joy", "<s>joy", "<s><s>joy"])
def test_exactly_one_bos_however_the_text_spells_it(adds_bos, text):
    subject = wrapped(byte_tokenizer(adds_bos=adds_bos))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        tokens = subject.tokenize([text])[0]
    plain = subject.tokenizer("joy", add_special_tokens=False)["input_ids"]
    assert tokens.ids == (subject.tokenizer.bos_token_id, *plain)
    assert tokens.has_bos
    start = len(text) - 3
    assert [text[a:b] for a, b in tokens.offsets[1:]] == ["j", "o", "y"]
    assert span_tokens(tokens, (start, start + 3)).tolist() == [1, 2, 3]
    assert [str(w.message) for w in told if "more than once" in str(w.message)][1:] == []
    assert bool(told) == text.startswith("<s><s>")


def test_a_spelled_bos_changes_no_reading_no_trace_and_no_generation(tiny_subject, tiny_bank):
    bos = tiny_subject.tokenizer.bos_token
    text = "She opened the letter and wept."
    bare, spelled = (ei.emotion_trace(tiny_subject, t, tiny_bank).to_frame() for t in (text, bos + text))
    columns = [c for c in bare.columns if c not in ("text", "start", "end")]
    assert bare[columns].equals(spelled[columns])
    for position in ("text", "end"):
        first, second = (read_units(tiny_subject, [t], [0], position=position) for t in (text, bos + text))
        for site in first:
            assert np.array_equal(first[site].dense, second[site].dense)
            assert first[site].scale == second[site].scale
    assert tiny_subject.generate(bos + text, 4) == bos + tiny_subject.generate(text, 4)
    direction = ei.Direction(np.ones(tiny_subject.d_model), layer=1)
    for positions in ("all", "prompt", "generated", 2, slice(0, None, 2)):
        with ei.steer(tiny_subject, direction, 4.0, positions, scale=2.0):
            assert tiny_subject.generate(bos + text, 4) == bos + tiny_subject.generate(text, 4)


def test_texts_with_and_without_a_spelled_bos_share_a_batch_where_none_is_prepended():
    """A chat's text spells the BOS that this model's settings do not put there: only its own row begins with one."""
    subject = wrapped(byte_tokenizer())
    subject.model.cfg.default_prepend_bos = False
    texts = ["a joyful day", "<s>a joyful day", "<s>joy"]
    tokens = subject.tokenize(texts)
    assert [t.has_bos for t in tokens] == [False, True, True]
    sites = [Site(1)]
    together = read_units(subject, texts, [0, 1, 2], sites=sites, position="text")
    for i, text in enumerate(texts):
        alone = read_units(subject, [text], [0], sites=sites, position="text")
        assert np.allclose(together[sites[0]].dense[i], alone[sites[0]].dense[0], atol=1e-5)
    direction = ei.Direction(np.ones(subject.d_model), layer=0)
    with ei.steer(subject, direction, 4.0, "all", scale=2.0):
        both = subject.generate(texts, 5)
        assert both == [subject.generate(t, 5) for t in texts]


def test_a_bare_call_tells_bos_by_its_ids():
    """Position 0 is left alone where it holds BOS, and is a token like others where it does not."""
    import torch

    subject = wrapped(byte_tokenizer())
    direction = ei.Direction(np.ones(subject.d_model), layer=0)
    ids = torch.tensor([ids_of(subject, "joy")])
    moved = []
    with torch.no_grad():
        for row in (ids, ids[:, 1:]):
            plain = subject.model.run_with_cache(row)[1]["blocks.0.hook_resid_post"]
            with ei.steer(subject, direction, 4.0, "all", scale=2.0):
                moved.append(subject.model.run_with_cache(row)[1]["blocks.0.hook_resid_post"] - plain)
    assert [bool(m[0, 0].abs().max() > 0) for m in moved] == [False, True]
    assert all(bool(m[0, 1:].abs().min() > 0) for m in moved)


@pytest.mark.parametrize("kind", ["with BOS", "none", "adds it itself"])
def test_a_users_own_bridge_reads_as_the_wrapped_model_does(tmp_path, kind):
    from transformer_lens.model_bridge import TransformerBridge

    options = {"with BOS": {}, "none": {"bos": None}, "adds it itself": {"adds_bos": True}}[kind]
    tokenizer = byte_tokenizer(folder=tmp_path, **options)
    model = model_for(tokenizer)
    own = TransformerBridge.boot_transformers("gpt2", hf_model=copy.deepcopy(model), tokenizer=copy.deepcopy(tokenizer))
    bridged, wrapping = ei.Subject(own, name="x"), ei.Subject(model, tokenizer=tokenizer, name="x")
    assert bridged.prepends_bos == wrapping.prepends_bos == (kind != "none")
    for text in ("joy", "</s>joy", "<s>joy"):
        assert bridged.tokenize([text]) == wrapping.tokenize([text])
    assert bridged.generate("joy", 6) == wrapping.generate("joy", 6)


def test_a_users_hooked_transformer_without_bos_is_given_none(tmp_path):
    from transformer_lens import HookedTransformer, HookedTransformerConfig

    tokenizer = byte_tokenizer(bos=None, folder=tmp_path)
    config = HookedTransformerConfig(
        n_layers=1, d_model=8, n_ctx=16, d_head=4, n_heads=2, d_vocab=len(tokenizer), act_fn="gelu", device="cpu"
    )
    subject = ei.Subject(HookedTransformer(config, tokenizer=tokenizer))
    assert not subject.prepends_bos
    assert len(ids_of(subject, "joy")) == 3


@pytest.mark.parametrize(("asked", "prepends"), [(True, False), (False, True)])
def test_an_sae_that_was_trained_with_another_bos_is_named_in_one_line(asked, prepends):
    from sae_lens import StandardSAE, StandardSAEConfig
    from sae_lens.saes.sae import SAEMetadata

    tokenizer = byte_tokenizer(bos=BOS if prepends else None)

    def sae(layer, prepend_bos):
        metadata = SAEMetadata(hook_name=f"blocks.{layer}.hook_resid_post", prepend_bos=prepend_bos)
        return StandardSAE(StandardSAEConfig(d_in=16, d_sae=32, metadata=metadata))

    with pytest.warns(UserWarning, match="2 of 2 SAEs .*BOS") as told:
        ei.Subject(model_for(tokenizer), [sae(0, asked), sae(1, asked)], tokenizer)
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ei.Subject(model_for(tokenizer), [sae(0, prepends), sae(1, None)], tokenizer)


def test_training_windows_and_rows_begin_with_one_bos(subject):
    from emotion_interp.training.corpus import Document
    from emotion_interp.training.sae_activations import text_windows
    from emotion_interp.training.subject import _rows

    plain, spelled = (text_windows(subject, [t * 1], 8) for t in ("a long text of joy", "<s>a long text of joy"))
    assert [w.ids for w in plain] == [w.ids for w in spelled]
    bos = subject.tokenizer.bos_token_id
    assert all(w.ids.count(bos) == 1 and w.ids[0] == bos for w in spelled)
    rows = [_rows([Document(t, "en", "x")], subject.tokenizer, 8) for t in ("abcdefgh", "<s>abcdefgh")]
    assert np.array_equal(*rows)


def test_texts_beyond_the_context_are_counted_in_one_line(subject):
    long = "joy " * 30
    texts = [long, "joy", long, *["sad"] * 1100, long]
    with pytest.warns(UserWarning, match=f"3 of {len(texts)} texts are longer than the context of 32 tokens") as told:
        read_units(subject, texts, [0] * len(texts), sites=[Site(0)], position="text")
    assert len(told) == 1
    with pytest.warns(UserWarning, match="1 of 2 texts are longer"):
        subject.tokenize([long, "joy"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_units(subject, ["joy"], [0], sites=[Site(0)], position="text")


@pytest.mark.parametrize("position", ["last", "span"])
@pytest.mark.parametrize("end", [28, 40, 60])
def test_a_target_beyond_the_context_is_refused_also_in_part(subject, position, end):
    text = "a" * 25 + "joyful" * 6
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {"sites": [Site(0)], "position": position, "spans": [(25, end)]}
        if end > 31:
            with pytest.raises(EmotionInterpError, match=r"\(in part\) beyond the context of 32"):
                read_units(subject, [text], [0], **options)
        else:
            read_units(subject, [text], [0], **options)


def test_more_new_tokens_than_the_context_holds_are_refused_before_anything_runs(subject):
    ran = []
    handle = subject.model.original_model.register_forward_pre_hook(lambda *_: ran.append(1))
    try:
        for ask in (subject.generate, lambda *a: list(subject.stream(*a))):
            with pytest.raises(EmotionInterpError, match=r"prompt 0 has 4 tokens.*at most 28 fit"):
                ask("joy", 2000)
            with pytest.raises(EmotionInterpError, match=r"prompt 0 .*longer than the context of 32"):
                ask("joy" * 40, 1)
        with pytest.raises(EmotionInterpError, match="at most 28 fit"):
            decode(subject, [ids_of(subject, "joy")], 29)
        with pytest.raises(EmotionInterpError, match="more than the context of 32"):
            token_log_probabilities(subject, [list(range(1, 40))], [1])
        assert not ran
    finally:
        handle.remove()
    assert len(decode(subject, [ids_of(subject, "joy")], 28, eos_token_id=[]).tokens[0]) == 28


def test_generation_from_a_bos_alone(subject):
    assert subject.generate("<s>", 3).startswith("<s>")
    with pytest.raises(EmotionInterpError, match="becomes no token"):
        subject.tokenize(["<s>"])

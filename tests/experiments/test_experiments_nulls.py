"""Random directions' answers that are kept: the same as fresh ones, taken again, and never those of another question."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from emotion_interp.core import Site
from emotion_interp.core.errors import FileFormatError
from emotion_interp.directions.null_directions import random_directions
from emotion_interp.experiments import dose_response
from emotion_interp.experiments.nulls import BLOCK, random_answers
from emotion_interp.experiments.question import GridQuestion, Nulls
from emotion_interp.judges.judging import at_length, judged
from emotion_interp.judges.next_word import NextWords
from emotion_interp.subjects import Subject
from tests.conftest import make_gpt2

PROMPTS = ("The letter said", "He felt")


def answers(setting, site, dose, count):
    drawn = random_directions(setting.subject, site, count, seed=setting.seed)["isotropic"]
    return random_answers(setting, 2.0, dose, drawn)


class Counting:
    """A judge of texts that counts how often it is asked; its answers depend on the text alone."""

    def __init__(self, shift: float = 0.0):
        self.emotions, self.asked, self.shift = ("joy", "fear", "calm"), 0, shift

    def predict_proba(self, texts):
        self.asked += len(texts)
        values = [[(sum(map(ord, t)) * k) % 97 / 97 + self.shift for k in (1, 3, 7)] for t in texts]
        return np.asarray(values)


@pytest.fixture
def setting(subjects):
    options = {"do_sample": True}
    return GridQuestion(subjects["gpt2"], PROMPTS, Counting(), ("fear", "joy"), "generated", 3, 0, options, 2)


def test_kept_answers_are_those_of_all_directions_at_once(setting, tmp_path):
    count = BLOCK + 5
    got = answers(replace(setting, nulls=Nulls(folder=tmp_path)), Site(1), 0.5, count)
    expected = judged(setting, at_length(Site(1), random_directions(setting.subject, 1, count)["isotropic"].units, 1.0))
    assert got.shape == (count, 2, 2) and np.allclose(got, expected)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_second_test_asks_the_judge_about_no_random_direction(setting, tmp_path):
    kept = replace(setting, nulls=Nulls(folder=tmp_path))
    first = answers(kept, Site(1), 0.5, 8)
    setting.judge.asked = 0
    assert np.array_equal(answers(kept, Site(1), 0.5, 8), first)
    # only what the judge says to the prompts, which is how it is known again
    assert setting.judge.asked == len(PROMPTS)


def test_a_users_own_model_is_known_by_its_weights_and_a_function_of_positions_by_nothing(setting, tmp_path):
    import torch

    bare = Subject(make_gpt2(setting.subject.tokenizer), tokenizer=setting.subject.tokenizer, name="mine")
    assert not bare.provenance
    kept = replace(setting, subject=bare, nulls=Nulls(folder=tmp_path))
    answers(kept, Site(1), 0.5, 4)
    answers(kept, Site(1), 0.5, 4)
    assert len(list(tmp_path.iterdir())) == 1
    with torch.no_grad():
        next(bare.model.parameters()).mul_(1.5)
    answers(kept, Site(1), 0.5, 4)
    assert len(list(tmp_path.iterdir())) == 2
    answers(replace(kept, positions=lambda at, lengths: at > 2), Site(1), 0.5, 4)
    assert len(list(tmp_path.iterdir())) == 2


def test_other_emotions_of_the_same_judge_are_answered_from_the_same_file(setting, tmp_path):
    both = answers(replace(setting, nulls=Nulls(folder=tmp_path)), Site(1), 0.5, 8)
    one = answers(replace(setting, emotions=("joy",), nulls=Nulls(folder=tmp_path)), Site(1), 0.5, 8)
    assert np.array_equal(one, both[:, :, 1:]) and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"samples": 3}, {"prompts": ("He felt",)}, {"judge": Counting(0.5)}, {"max_new_tokens": 4}],
    ids=lambda change: next(iter(change)),
)
def test_another_question_is_another_file(setting, tmp_path, change):
    for one in (setting, replace(setting, **change)):
        answers(replace(one, nulls=Nulls(folder=tmp_path)), Site(1), 0.5, 4)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("site,dose", [(Site(0), 0.5), (Site(1), 0.25)])
def test_another_site_or_dose_is_another_file(setting, tmp_path, site, dose):
    kept = replace(setting, nulls=Nulls(folder=tmp_path))
    answers(kept, Site(1), 0.5, 4)
    answers(kept, site, dose, 4)
    assert len(list(tmp_path.iterdir())) == 2


def test_the_next_word_judge_is_known_by_its_words(subjects, tmp_path):
    subject = subjects["gpt2"]
    for ids in ((5,), (6,)):
        judge = NextWords(("joy",), {"joy": ("x",)}, {"joy": ids}, {"joy": ()})
        one = GridQuestion(subject, PROMPTS, judge, ("joy",), "generated", 0, 0, {}, nulls=Nulls(folder=tmp_path))
        assert answers(one, Site(1), 0.5, 4).shape == (4, 2, 1)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_damaged_file_is_refused_and_named(setting, tmp_path):
    kept = replace(setting, nulls=Nulls(folder=tmp_path))
    answers(kept, Site(1), 0.5, 4)
    path = next(tmp_path.iterdir())
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(FileFormatError, match=path.name):
        answers(kept, Site(1), 0.5, 4)
    np.save(path, np.zeros((3, 2, 3)))
    with pytest.raises(FileFormatError, match="expected"):
        answers(kept, Site(1), 0.5, 4)


def test_a_dose_response_has_the_same_table_with_and_without_a_folder(tiny_subject, tiny_bank, tmp_path):
    options = {"layers": [1], "n_random": 19, "judge": Counting(), "max_new_tokens": 3}
    bare = dose_response(tiny_subject, tiny_bank, ["joy", "fear"], [0.5], list(PROMPTS), **options).to_frame()
    for _ in range(2):
        kept = dose_response(
            tiny_subject, tiny_bank, ["joy", "fear"], [0.5], list(PROMPTS), null_folder=tmp_path, **options
        ).to_frame()
        assert kept.equals(bare)

"""Sites, directions, stimuli, seeds, names."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotion_interp.core import KINDS, Direction, EmotionInterpError, NotFiniteError, Site, Stimulus, UnknownNameError
from emotion_interp.core.seeds import generator


@given(st.integers(0, 200), st.sampled_from(KINDS))
def test_a_site_survives_its_hook_name(layer, kind):
    assert Site.parse(Site(layer, kind).hook_name) == Site(layer, kind)


@pytest.mark.parametrize("name", ["blocks.1.hook_out", "hook_embed", "blocks.x.hook_resid_post", "blocks.1.hook_z", ""])
def test_an_unknown_hook_is_refused(name):
    with pytest.raises(UnknownNameError, match="unknown hook"):
        Site.parse(name)


@pytest.mark.parametrize("layer", [-1, 1.5, True, "2"])
def test_a_layer_is_a_whole_number_from_zero(layer):
    with pytest.raises(EmotionInterpError):
        Site(layer)


def test_unknown_names_come_with_a_suggestion():
    error = UnknownNameError("emotion", "joi", ["anger", "joy"])
    assert "Did you mean 'joy'" in str(error)


def test_a_direction_copies_and_freezes_its_vector():
    vector = np.array([3.0, 4.0])
    direction = Direction(vector, layer=1)
    vector[0] = 9
    assert np.allclose(direction.unit, [0.6, 0.8])
    with pytest.raises(ValueError, match="read-only"):
        direction.vector[0] = 1


@pytest.mark.parametrize(
    ("vector", "error"),
    [
        ([np.nan, 1.0], NotFiniteError),
        ([0.0, 0.0], EmotionInterpError),
        ([[1.0]], EmotionInterpError),
        ([], EmotionInterpError),
    ],
)
def test_a_direction_that_points_nowhere_is_refused(vector, error):
    with pytest.raises(error):
        Direction(vector, layer=0)


def test_opposites_and_mixtures_use_unit_vectors():
    a, b = Direction([2.0, 0.0], 1, name="joy"), Direction([0.0, 5.0], 1, name="sadness")
    assert np.allclose((a + b).vector, [1, 1])
    assert np.allclose((-a).vector, [-2, 0])
    with pytest.raises(EmotionInterpError, match="two sites"):
        a + Direction([1.0, 0.0], 2)


def test_a_span_outside_the_text_is_refused():
    with pytest.raises(EmotionInterpError, match="outside"):
        Stimulus("abc", (1, 9), "joy", "x", "t0", "en", "g")


def test_random_streams_depend_on_name_and_seed_alone():
    assert generator(1, "a").random() == generator(1, "a").random()
    assert generator(1, "a").random() != generator(1, "b").random()
    assert generator(1, "a").random() != generator(2, "a").random()
    assert generator(1, "a", "b").random() != generator(1, "ab").random()

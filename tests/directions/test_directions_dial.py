"""The dial steers to human coordinates: planted axes are found, and the read-out says what was asked."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from emotion_interp.core import Direction, EmotionInterpError, UnknownNameError
from emotion_interp.core.errors import NotFiniteError
from emotion_interp.directions import dial
from emotion_interp.judges import load_judge

NAMES = [f"feeling{i}" for i in range(28)]


class PlantedBank:
    """Directions that are a common part, valence and arousal along two axes, and noise."""

    emotions = (*NAMES, "unrated")
    layers = (1, 3, 4)

    def __init__(self, ratings: np.ndarray, noise: float = 0.05, missing: tuple[str, ...] = ()) -> None:
        random = np.random.default_rng(0)
        self.common, self.valence, self.arousal = np.linalg.qr(random.normal(size=(40, 3)))[0].T
        z = (ratings - ratings.mean(0)) / ratings.std(0)
        self.missing = missing
        planted = 4 * self.common + z @ np.stack([self.valence, 0.5 * self.arousal])
        self.vectors = np.vstack([planted + noise * random.normal(size=(28, 40)), random.normal(size=40)])

    def direction(self, emotion, layer, language, method):
        if emotion in self.missing:
            raise UnknownNameError("emotion", emotion, NAMES)
        return Direction(self.vectors[self.emotions.index(emotion)], layer, name=emotion)


@pytest.fixture(scope="module")
def norms():
    random = np.random.default_rng(1)
    ratings = random.multivariate_normal([5, 5], [[2, 0.8], [0.8, 1]], size=28)
    return pd.DataFrame({"word": NAMES, "valence": ratings[:, 0], "arousal": ratings[:, 1]})


@pytest.fixture(scope="module")
def bank(norms):
    return PlantedBank(norms[["valence", "arousal"]].to_numpy())


def test_valence_alone_and_arousal_alone_are_the_planted_axes(bank, norms):
    up = dial(bank, valence=1, norms=norms).unit
    awake = dial(bank, arousal=1, norms=norms).unit
    assert up @ bank.valence > 0.95 and abs(up @ bank.arousal) < 0.2
    assert awake @ bank.arousal > 0.95 and abs(awake @ bank.valence) < 0.2
    assert abs(up @ bank.common) < 0.2


def by_hand(units: np.ndarray, ratings: np.ndarray, ridge: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Axes [2, d] and read-out [2, d], in the primal form."""
    x = units - units.mean(0)
    z = (ratings - ratings.mean(0)) / ratings.std(0)
    axes = np.linalg.inv(z.T @ z + ridge * np.eye(2)) @ z.T @ x
    penalty = ridge * np.mean(np.sum(x**2, 1))
    readout = (np.linalg.inv(x.T @ x + penalty * np.eye(x.shape[1])) @ x.T @ z).T
    return axes, readout


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(0.1, 10))
@settings(max_examples=25, deadline=None)
def test_the_read_out_of_the_direction_is_what_was_asked(valence, arousal, ridge):
    assume(np.hypot(valence, arousal) > 1e-3)
    random = np.random.default_rng(1)
    ratings = random.multivariate_normal([5, 5], [[2, 0.8], [0.8, 1]], size=28)
    frame = pd.DataFrame({"word": NAMES, "valence": ratings[:, 0], "arousal": ratings[:, 1]})
    bank = PlantedBank(ratings)
    found = dial(bank, valence, arousal, norms=frame, ridge=ridge)
    units = np.stack([bank.direction(e, 1, "en", "dense").unit for e in NAMES]).astype(np.float64)
    axes, readout = by_hand(units, ratings, ridge)
    assert np.allclose(readout @ found.vector, [valence, arousal], atol=1e-4 * (1 + np.hypot(valence, arousal)))
    # and it lies in the plane of the two axes
    plane = np.linalg.qr(axes.T)[0]
    assert np.linalg.norm(found.unit - plane @ (plane.T @ found.unit)) < 1e-4
    assert abs(found.provenance["radius"] - np.hypot(valence, arousal)) < 1e-12


def test_the_opposite_request_is_the_opposite_direction(bank, norms):
    assert np.allclose(dial(bank, 1, -0.5, norms=norms).vector, -dial(bank, -1, 0.5, norms=norms).vector, atol=1e-5)


def test_emotions_without_rating_or_direction_are_left_out_and_weights_sum_to_zero(norms):
    ratings = norms[["valence", "arousal"]].to_numpy()
    found = dial(PlantedBank(ratings, missing=("feeling3", "feeling9")), 1, norms=norms)
    assert set(found.provenance["emotions"]) == set(NAMES) - {"feeling3", "feeling9"}
    assert abs(sum(found.provenance["weights"].values())) < 1e-9
    assert found.provenance["r_valence"] > 0.9 and found.provenance["r_arousal"] > 0.9


def test_the_layer_is_the_middle_one_unless_named(bank, norms):
    assert dial(bank, 1, norms=norms).layer == 3
    assert dial(bank, 1, norms=norms, layer=4).layer == 4


def test_a_dose_of_the_dial_is_that_of_the_banks_own_directions(bank, norms):
    class Scaled:
        emotions, layers = bank.emotions, bank.layers

        def direction(self, emotion, layer, language, method):
            found = bank.direction(emotion, layer, language, method)
            return Direction(found.vector, layer, name=emotion, provenance={"scale": 37.5})

    assert dial(Scaled(), 1.0, -1.0, norms=norms).provenance["scale"] == 37.5
    assert len(dial(Scaled(), 1.0, -1.0, norms=norms).hooks(dose=0.3)) == 1
    assert "scale" not in dial(bank, 1.0, -1.0, norms=norms).provenance


def test_what_cannot_be_dialled_is_refused(bank, norms):
    with pytest.raises(EmotionInterpError, match="another place"):
        dial(bank, norms=norms)
    with pytest.raises(NotFiniteError):
        dial(bank, float("nan"), norms=norms)
    with pytest.raises(EmotionInterpError, match="ridge"):
        dial(bank, 1, norms=norms, ridge=0)
    with pytest.raises(EmotionInterpError, match="no arousal"):
        dial(bank, 1, norms=norms[["word", "valence"]])
    with pytest.raises(UnknownNameError):
        dial(PlantedBank(norms[["valence", "arousal"]].to_numpy(), missing=PlantedBank.emotions), 1, norms=norms)


def test_the_names_are_on_the_public_face():
    import emotion_interp as ei

    assert ei.dial is dial and ei.load_judge is load_judge

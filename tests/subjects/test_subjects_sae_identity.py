"""An SAE whose encoder reads nothing is refused, and one with another encoder is not the bank's."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest

import emotion_interp as ei
from emotion_interp.bank.same_subject import require_same_subject
from emotion_interp.core import EmotionInterpError, FileFormatError
from emotion_interp.subjects.sae_identity import same_encoder
from emotion_interp.subjects.sae_reader import SaeReader


def with_sae(subject, change):
    """The subject with one thing changed in the SAE of layer 0."""
    import torch

    saes = [copy.deepcopy(sae) for sae in subject.saes.values()]
    with torch.no_grad():
        change(saes[0])
    return ei.Subject(subject.model, saes, subject.tokenizer, name=subject.name)


@pytest.mark.parametrize("part", ["W_enc", "W_dec"])
def test_an_sae_of_zeros_is_refused(tiny_subject, part):
    with pytest.raises(EmotionInterpError, match="all zeros"):
        with_sae(tiny_subject, lambda sae: getattr(sae, part).zero_())


CHANGES = {
    "scaled encoder": lambda sae: sae.W_enc.mul_(1.5),
    "encoder of other latents": lambda sae: sae.W_enc.copy_(sae.W_enc.roll(1, 1)),
    "thresholds": lambda sae: sae.threshold.mul_(2.0),
    "biases": lambda sae: sae.b_enc.add_(0.5),
    "input bias": lambda sae: sae.b_dec.add_(0.5),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_bank_is_refused_where_the_encoder_is_another(tiny_subject, tiny_bank, change):
    require_same_subject(tiny_bank, tiny_subject)
    with pytest.raises(EmotionInterpError, match="another one than the bank was found with"):
        require_same_subject(tiny_bank, with_sae(tiny_subject, change))


def test_a_bank_of_before_encoders_were_noted_is_checked_by_its_decoder(tiny_subject, tiny_bank):
    saes = [{k: v for k, v in sae.items() if k != "encoder"} for sae in tiny_bank.manifest["saes"]]
    old = replace(tiny_bank, manifest={**tiny_bank.manifest, "saes": saes})
    require_same_subject(old, tiny_subject)
    with pytest.raises(EmotionInterpError, match="another one"):
        require_same_subject(old, with_sae(tiny_subject, lambda sae: sae.W_dec.copy_(sae.W_dec.roll(1, 0))))


def test_banks_of_before_and_after_encoders_were_noted_are_merged(tiny_subject, small_concepts):
    first, second = (ei.find_features(tiny_subject, small_concepts, layers=[layer]) for layer in (0, 1))
    saes = [{k: v for k, v in sae.items() if k != "encoder"} for sae in first.manifest["saes"]]
    old = replace(first, manifest={**first.manifest, "saes": saes})
    assert old.merge(second).layers == first.merge(second).layers == [0, 1]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_an_encoder_is_known_again_in_half_precision(tiny_subject, dtype):
    import torch

    reader = next(iter(tiny_subject.readers.values()))
    other = copy.deepcopy(reader.sae).to(getattr(torch, dtype))
    assert same_encoder(SaeReader(other, reader.site).encoder_signature(), reader.encoder_signature())
    assert np.allclose(SaeReader(other, reader.site).signature(), reader.signature(), atol=0.01)


def test_an_sae_whose_configuration_does_not_fit_its_weights_is_refused(tiny_subject):
    sae = copy.deepcopy(tiny_subject.saes[tiny_subject.sites[0]])
    sae.cfg.d_sae = 2 * sae.cfg.d_sae
    with pytest.raises(FileFormatError, match="do not belong together"):
        SaeReader(sae)

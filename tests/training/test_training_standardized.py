"""SAEs of standardised input: the folded weights are the trained SAE, and what few coordinates hide comes out."""

from __future__ import annotations

import pytest
import torch

from emotion_interp.training.sae_activations import InputScaling

D, LATENTS = 12, 40


def _tensors(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"W_enc": (D, LATENTS), "W_dec": (LATENTS, D), "b_enc": (LATENTS,), "b_dec": (D,)}
    found = {name: torch.randn(*shape, generator=generator) for name, shape in shapes.items()}
    return {**found, "threshold": torch.full((LATENTS,), 0.7)}


def _run(t: dict[str, torch.Tensor], x: torch.Tensor, subtracts: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """A JumpReLU SAE by hand: latents and reconstruction."""
    pre = (x - t["b_dec"] if subtracts else x) @ t["W_enc"] + t["b_enc"]
    latents = torch.where(pre > t["threshold"], pre.relu(), torch.zeros_like(pre))
    return latents, latents @ t["W_dec"] + t["b_dec"]


@pytest.mark.parametrize("subtracts", [True, False])
def test_folded_weights_encode_and_rebuild_the_raw_stream_as_the_trained_ones_do_the_standardised(subtracts):
    x = torch.randn(500, D, generator=torch.Generator().manual_seed(1)).double()
    x = x * torch.logspace(-2, 3, D).double() + torch.linspace(-40, 900, D).double()
    scaling = InputScaling.of(x.float(), standardize=True)
    assert scaling.mean is not None
    assert scaling.deviation is not None
    tensors = {name: t.double() for name, t in _tensors(2).items()}
    z = (x - scaling.mean.double()) / scaling.deviation.double()
    latents, rebuilt = _run(tensors, z, subtracts)
    folded = {name: t.double() for name, t in scaling.fold(tensors, subtracts).items()}
    own, raw = _run(folded, x, subtracts)
    norms = (tensors["W_dec"] * scaling.deviation.double()).norm(dim=1)
    torch.testing.assert_close(own / norms, latents, rtol=1e-4, atol=1e-3)
    wanted = rebuilt * scaling.deviation.double() + scaling.mean.double()
    torch.testing.assert_close(
        (raw - wanted) / scaling.deviation.double(), torch.zeros_like(raw), rtol=0, atol=1e-3 * float(rebuilt.std())
    )
    torch.testing.assert_close(folded["W_dec"].norm(dim=1), torch.ones(LATENTS, dtype=torch.double), atol=1e-5, rtol=0)


def test_without_standardising_nothing_changes():
    x, tensors = torch.randn(20, D), _tensors(3)
    scaling = InputScaling.of(x, standardize=False)
    assert scaling(x) is x
    assert scaling.fold(tensors, True) is tensors


def test_a_dead_coordinate_is_not_divided_by_nothing():
    x = torch.randn(100, D)
    x[:, 3] = 5.0
    scaling = InputScaling.of(x, standardize=True)
    assert bool(scaling(x).isfinite().all())
    assert float(scaling(x)[:, 3].abs().max()) < 1e-2


def test_a_stream_with_one_loud_coordinate_is_explained_in_all(gpt2, tokenizer, tmp_path):
    """As in Gemma: one coordinate holds most of the variance; standardised training explains the others too."""
    import copy

    import emotion_interp as ei
    from emotion_interp.training import SaeRecipe, train_saes
    from emotion_interp.training.sae_quality import sae_quality

    model = copy.deepcopy(gpt2)
    with torch.no_grad():
        # the last block's feed-forward output is loud in one coordinate
        model.transformer.h[2].mlp.c_proj.weight[:, 0] *= 40
    subject = ei.Subject(model, tokenizer=tokenizer)
    sentences = [s.text for s in ei.concept_set("en").stimuli(templates=["t0"])]
    texts = [" ".join(sentences[i : i + 3]) for i in range(0, len(sentences), 3)]
    found = {}
    for standardize in (False, True):
        recipe = SaeRecipe(
            d_sae=64,
            k=8,
            tokens=150 * 64,
            batch_tokens=64,
            layers=(2,),
            dead_feature_window=10,
            standardize=standardize,
        )
        out = tmp_path / str(standardize)
        train_saes(subject, texts[:-40], out, recipe, held_out=texts[-40:])
        read = ei.Subject(
            model, saes=train_saes(subject, texts[:-40], out, recipe, held_out=texts[-40:]).saes(), tokenizer=tokenizer
        )
        found[standardize] = sae_quality(read, {"en": texts[-40:]}, loss_tokens=400).to_frame().iloc[0]
    assert found[True]["ev_standardized"] > found[False]["ev_standardized"] + 0.1
    assert found[True]["l0"] == pytest.approx(8, rel=0.35)

"""Synthetic readings whose truth is known: `sae_lens.synthetic` activations of a planted dictionary, read by its SAE.

Every unit (a word or a text) draws which latents it carries; its stimuli or tokens draw which of them show and add
activity of their own; the dictionary maps all of it to a residual stream with noise, and the SAE with that dictionary
reads it back. What the SAE gets wrong (latents overlap: there are more of them than dimensions) is therefore inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from emotion_interp.activations import SiteReadings
    from emotion_interp.concepts import ConceptSet

_POSITIVE = "admiration amusement awe calm compassion desire excitement gratitude hope joy love nostalgia pride relief"
POSITIVE = frozenset(_POSITIVE.split())
"""Emotions under which a feature of good things fires; surprise is neither good nor bad, all others are bad."""
MIXED = frozenset({"surprise"})

STRENGTHS = {"strong": 0.8, "medium": 0.55, "weak": 0.35}
"""Share of its emotion's units on which a planted feature fires; on all others it fires on `ELSEWHERE` of them."""
ELSEWHERE, MAGNITUDE, SPREAD, NOISE, THRESHOLD = 0.03, 2.0, 0.3, 0.02, 1.0

SHOWN = {"words": (3, 0.95, 0.0), "scenes": (16, 0.4, 0.02)}
"""Kind -> stimuli (tokens) per unit, chance that what a unit carries shows in one of them, chance of stray activity."""


@dataclass(frozen=True, eq=False)
class Planted:
    """Roles (frame: feature, role, emotions) of every latent that is no background, the units and their readings."""

    roles: pd.DataFrame
    words: pd.DataFrame
    readings: dict[Any, SiteReadings]

    def truth(self) -> set[tuple[int, str]]:
        """Planted pairs of feature and emotion; a feature planted for two siblings counts for both."""
        true = self.roles[self.roles["role"].isin([*STRENGTHS, "siblings"])]
        return {(f, e) for f, own in zip(true["feature"], true["emotions"], strict=True) for e in own}


def planted_subject(d_sae: int = 1024, d_model: int = 256, steps: int = 100) -> Any:
    """A subject whose only SAE holds a planted dictionary; its model is never run."""
    import torch
    from sae_lens import JumpReLUSAE, JumpReLUSAEConfig
    from sae_lens.saes.sae import SAEMetadata
    from sae_lens.synthetic import FeatureDictionary
    from sae_lens.synthetic.feature_dictionary import orthogonal_initializer
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    import emotion_interp as ei
    from emotion_interp.subjects.loading import bundled_folder

    torch.manual_seed(0)
    rows = FeatureDictionary(d_sae, d_model, initializer=orthogonal_initializer(steps), seed=0).feature_vectors.data
    metadata = SAEMetadata(hook_name="blocks.0.hook_resid_post", model_name="planted")
    sae = JumpReLUSAE(JumpReLUSAEConfig(d_in=d_model, d_sae=d_sae, metadata=metadata))
    with torch.no_grad():
        sae.W_dec.copy_(rows)
        sae.W_enc.copy_(rows.T)
        sae.threshold.fill_(THRESHOLD)
    tokenizer = AutoTokenizer.from_pretrained(bundled_folder() / "model")
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), n_embd=d_model, n_layer=1, n_head=2, n_positions=64))
    return ei.Subject(model.eval(), saes=[sae], tokenizer=tokenizer, name="planted")


def draw_roles(concepts: ConceptSet, d_sae: int, rng: np.random.Generator) -> pd.DataFrame:
    """Which latent plays which part: three strengths per emotion, siblings' features, and four kinds of confounds."""
    import pandas as pd

    emotions = list(concepts.emotions)
    good = [e for e in emotions if e in POSITIVE]
    bad = [e for e in emotions if e not in POSITIVE | MIXED]
    pairs = sorted({tuple(sorted((e, s))) for e in emotions for s in concepts.siblings(e)})
    parts: list[tuple[str, Sequence[str]]] = [(strength, [e]) for e in emotions for strength in STRENGTHS]
    parts += [("siblings", pair) for pair in pairs]
    parts += [("valence", side) for side in (good, bad) for _ in range(6) if side]
    parts += [("any emotion", emotions)] * 4
    while len([p for p in parts if p[0] == "strangers"]) < 6:
        two = sorted(rng.choice(emotions, 2, replace=False).tolist())
        if two[1] not in concepts.siblings(two[0]):
            parts.append(("strangers", two))
    parts += [("lexical", [e]) for e in emotions]
    latents = rng.choice(d_sae, len(parts), replace=False)
    return pd.DataFrame({"feature": latents, "role": [p[0] for p in parts], "emotions": [tuple(p[1]) for p in parts]})


def _chances(roles: pd.DataFrame, emotion: str, background: np.ndarray) -> np.ndarray:
    """Chance of each latent to be carried by a unit of one emotion."""
    chance = background.copy()
    carried = {**STRENGTHS, "siblings": 0.7, "strangers": 0.7, "valence": 0.4, "any emotion": 0.4, "lexical": 0.0}
    for feature, role, own in zip(roles["feature"], roles["role"], roles["emotions"], strict=True):
        elsewhere = 0.0 if role == "lexical" else ELSEWHERE
        chance[feature] = carried[role] if emotion in own else elsewhere
    return chance


def planted_readings(subject: Any, concepts: ConceptSet, seed: int, kind: str = "words") -> Planted:
    """One draw: roles, units of the shipped design ("words" or "scenes"), and what the SAE read from them."""
    import torch
    from sae_lens.synthetic import ActivationGenerator
    from sae_lens.synthetic.firing_probabilities import ZipfianFiringProbabilityConfig
    from scipy.sparse import csr_matrix

    from emotion_interp.activations import SiteReadings
    from emotion_interp.features.design import design_stimuli

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    site = subject.sites[0]
    reader = subject.readers[site]
    d_sae = reader.d_sae
    words = design_stimuli(concepts, kind, seed).words
    roles = draw_roles(concepts, d_sae, rng)
    zipf = ZipfianFiringProbabilityConfig(exponent=0.7, max_prob=0.3, min_prob=0.005).generate(d_sae).numpy()
    background = rng.permutation(zipf).astype(np.float64)
    carried = torch.zeros(len(words), d_sae)
    for emotion in sorted(set(words["emotion"])):
        rows = np.flatnonzero((words["emotion"] == emotion).to_numpy())
        chance = torch.from_numpy(_chances(roles, emotion, background)).float()
        carried[rows] = ActivationGenerator(d_sae, chance, SPREAD, MAGNITUDE).sample(len(rows))
    lexical = roles[roles["role"] == "lexical"]
    for feature, own in zip(lexical["feature"], lexical["emotions"], strict=True):
        for language in sorted(set(words["language"])):
            unit = np.flatnonzero((words["emotion"].isin(own) & (words["language"] == language)).to_numpy())
            carried[rng.choice(unit, 2, replace=False), int(feature)] = MAGNITUDE
    stimuli, shows, stray = SHOWN[kind]
    strays = ActivationGenerator(d_sae, stray, SPREAD, MAGNITUDE)
    rows = reader.decoder_rows(np.arange(d_sae))
    features, fired, dense = torch.zeros_like(carried), torch.zeros_like(carried), torch.zeros(len(words), reader.d_in)
    for _ in range(stimuli):
        shown = carried * (torch.rand_like(carried) < shows)
        if stray:
            shown = torch.maximum(shown, strays.sample(len(words)))
        hidden = shown @ rows
        hidden = hidden + NOISE * hidden.norm(dim=1).median() * torch.randn_like(hidden)
        latents = reader.encode(hidden)
        features += latents / stimuli
        fired += (latents > 0).float() / stimuli
        dense += hidden / stimuli
    n = np.full(len(words), stimuli if kind == "words" else 1)
    own = SiteReadings(site, csr_matrix(features.numpy()), csr_matrix(fired.numpy()), dense.numpy(), 1.0, n)
    return Planted(roles, words, {site: own})

"""Tiny random models through the real TransformerLens and SAELens code; nothing is mocked."""

from __future__ import annotations

import os

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("WANDB_MODE", "disabled")

import re
import sys
import time
import traceback
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")
"""How fast a machine is tells nothing of the code."""

SAELENS = find_spec("sae_lens") is not None
"""False in the lane of TransformerLens 4, which SAELens does not go with; what needs SAELens itself is skipped there."""
collect_ignore = [
    str(path)
    for path in ([] if SAELENS else Path(__file__).parent.rglob("test_*.py"))
    if re.search(r"^(?:from|import) sae_lens", path.read_text(encoding="utf-8"), re.MULTILINE)
]
"""Files about SAELens' own objects, which they import at their top."""
BELOW_4 = ("sae_lens", "HookedTransformer", "HookedTransformerConfig", "HookedSAETransformer")
D_MODEL, N_LAYERS, CONTEXT, VOCAB, D_SAE = 32, 3, 64, 600, 128


@contextmanager
def _skipping_what_is_not_of_transformer_lens_4():
    try:
        yield
    except ImportError as error:
        # TransformerLens 4 says itself what is gone, and then the error has no name
        missing = error.name or next(iter(re.findall(r"^'(\w+)'", str(error))), "")
        if SAELENS or missing.partition(".")[0] not in BELOW_4:
            raise
        frames = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
        # not all that is below the repository: the lane's environment is, too
        rooms = {Path(__file__).parent, Path(__file__).parents[1] / "emotion_interp"}
        ours = [name for name in frames if rooms & set(Path(name).parents)]
        # an import in the package itself is a fault: it has to do without
        if not ours or Path(__file__).parent not in Path(ours[-1]).parents:
            raise
        pytest.skip(f"TransformerLens 4 goes without {missing}")


@pytest.fixture(scope="module", autouse=True)
def no_lock_stays_taken():
    """A file's tests leave no lock of the package behind; another file's threads would wait for it for ever."""
    yield
    if "emotion_interp.subjects.shelf" in sys.modules:
        from tests.locks import taken_locks

        until = time.monotonic() + 20
        while (taken := taken_locks()) and time.monotonic() < until:
            # a thread of the live page may be about to end
            time.sleep(0.1)
        assert not taken, taken


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem):
    del pyfuncitem
    with _skipping_what_is_not_of_transformer_lens_4():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef, request):
    del fixturedef, request
    with _skipping_what_is_not_of_transformer_lens_4():
        return (yield)


def make_tokenizer(context: int = CONTEXT, vocab: int = VOCAB):
    """A byte-level BPE trained on the concept words, so that most of them are short."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    import emotion_interp as ei

    texts = [s.text for s in ei.concept_set("en").stimuli(templates=["t0"])] * 2
    texts += [s.text for s in ei.concept_set("zh").stimuli(templates=["t0"])]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    token = "<|endoftext|>"
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=token,
        eos_token=token,
        pad_token=token,
        unk_token=token,
        model_max_length=context,
    )


def make_gpt2(tokenizer, seed: int = 0, layers: int = N_LAYERS, d_model: int = D_MODEL):
    """A random GPT-2 with weights large enough that its layers matter."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=CONTEXT,
        n_embd=d_model,
        n_layer=layers,
        n_head=2,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2:
                parameter.mul_(6.0)
            elif name.endswith("bias"):
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def make_sae(
    layer: int, kind: str = "resid_post", d_in: int = D_MODEL, d_sae: int = D_SAE, seed: int = 0, threshold=0.35
):
    """A random JumpReLU SAE with unit decoder rows and sparse activity."""
    import torch

    generator = torch.Generator().manual_seed(seed + layer)
    rows = torch.randn(d_sae, d_in, generator=generator)
    rows = rows / rows.norm(dim=1, keepdim=True)
    facts = {"hook_name": f"blocks.{layer}.hook_{kind}", "model_name": "tiny"}
    if not SAELENS:
        from emotion_interp.subjects.plain_sae import PlainConfig, PlainMetadata, PlainSae

        parts = {"W_enc": rows.T.contiguous(), "W_dec": rows, "b_dec": torch.zeros(d_in), "b_enc": torch.zeros(d_sae)}
        parts["threshold"] = torch.full((d_sae,), threshold)
        return PlainSae(PlainConfig(d_in, d_sae, "jumprelu", metadata=PlainMetadata(**facts)), parts)
    from sae_lens import JumpReLUSAE, JumpReLUSAEConfig
    from sae_lens.saes.sae import SAEMetadata

    sae = JumpReLUSAE(JumpReLUSAEConfig(d_in=d_in, d_sae=d_sae, metadata=SAEMetadata(**facts)))
    with torch.no_grad():
        sae.W_dec.copy_(rows)
        sae.W_enc.copy_(rows.T)
        sae.threshold.fill_(threshold)
    return sae


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    make_tokenizer().save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="session")
def root_tokenizer(tokenizer_folder):
    """Loaded from a folder: HookedTransformer loads a tokenizer anew from the place it came from."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast.from_pretrained(str(tokenizer_folder))


@pytest.fixture(scope="session")
def tokenizer(root_tokenizer):
    """A room may have its own under this name; the fixtures here are made with the root's, whoever asks first."""
    return root_tokenizer


@pytest.fixture(scope="session")
def gpt2(root_tokenizer):
    return make_gpt2(root_tokenizer)


@pytest.fixture(scope="session")
def tiny_subject(gpt2, root_tokenizer):
    """Bridge backend, an SAE at layers 0 and 1."""
    import emotion_interp as ei

    return ei.Subject(gpt2, saes=[make_sae(0), make_sae(1)], tokenizer=root_tokenizer, name="tiny")


@pytest.fixture(scope="session")
def hooked_model(root_tokenizer):
    """A HookedTransformer of the same shape, with raw random weights."""
    import torch

    if int(version("transformer-lens").partition(".")[0]) >= 4:
        pytest.skip("TransformerLens 4 has no HookedTransformer")
    from transformer_lens import HookedTransformer, HookedTransformerConfig

    torch.manual_seed(1)
    config = HookedTransformerConfig(
        n_layers=N_LAYERS,
        d_model=D_MODEL,
        n_ctx=CONTEXT,
        d_head=16,
        n_heads=2,
        d_vocab=len(root_tokenizer),
        act_fn="gelu_new",
        init_weights=True,
        seed=1,
        device="cpu",
    )
    model = HookedTransformer(config, tokenizer=root_tokenizer)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.mul_(6.0)
    return model.eval()


@pytest.fixture(scope="session")
def hooked_subject(hooked_model):
    import emotion_interp as ei

    return ei.Subject(hooked_model, saes=[make_sae(0), make_sae(1)], name="tiny-hooked")


@pytest.fixture(scope="session")
def small_concepts():
    """Four emotions and the neutral words of two languages: enough for every statistic, quick to read."""
    import emotion_interp as ei

    both = ei.concept_set("en") | ei.concept_set("zh")
    return both.subset(emotions=["anger", "fear", "joy", "sadness"])


@pytest.fixture(scope="session")
def tiny_bank(tiny_subject, small_concepts):
    import emotion_interp as ei

    return ei.find_features(tiny_subject, small_concepts)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder that EMOTION_INTERP_DATA names."""
    folder = os.environ.get("EMOTION_INTERP_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("EMOTION_INTERP_DATA names no folder with norms/ and labelled/")
    return Path(folder)


@pytest.fixture
def rng():
    return np.random.default_rng(0)

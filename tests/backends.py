"""Tiny random subjects of every backend, through the real TransformerLens code."""

from __future__ import annotations

from importlib.metadata import version

import pytest

WORDS = [
    "happy",
    "sad",
    "joy",
    "grief",
    "angry",
    "furious",
    "calm",
    "afraid",
    "scared",
    "pride",
    "glad",
    "tears",
    "letter",
    "sea",
    "door",
    "man",
    "woman",
    "felt",
    "was",
    "the",
]
SENTENCES = [
    "The letter said that she felt happy.",
    "When he opened the door he was afraid of the sea.",
    "The old man was sad and calm, the woman was angry.",
    "他打开门，心里感到高兴。",
    *(f"She was {w} and he felt {w} too." for w in WORDS),
]
HOOKED = int(version("transformer-lens").partition(".")[0]) < 4
NAMES = ("gpt2", "neox", "llama", "hooked", "hooked_rotary")


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(SENTENCES * 20, trainer)
    end = "<|endoftext|>"
    folder = tmp_path_factory.mktemp("tokenizer")
    made = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token=end, eos_token=end, pad_token=end)
    # TransformerLens opens a tokenizer again from where it was loaded
    made.save_pretrained(str(folder))
    return AutoTokenizer.from_pretrained(str(folder))


def _transformers_model(name: str, vocab: int):
    import torch
    import transformers as hf

    torch.manual_seed(0)
    if name == "gpt2":
        config = hf.GPT2Config(vocab_size=vocab, n_positions=48, n_embd=16, n_layer=3, n_head=2, initializer_range=0.2)
        model = hf.GPT2LMHeadModel(config)
    elif name == "neox":
        config = hf.GPTNeoXConfig(
            vocab_size=vocab,
            max_position_embeddings=48,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=3,
            num_attention_heads=2,
            initializer_range=0.2,
            use_parallel_residual=True,
        )
        model = hf.GPTNeoXForCausalLM(config)
    else:
        config = hf.LlamaConfig(
            vocab_size=vocab,
            max_position_embeddings=48,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            initializer_range=0.2,
        )
        model = hf.LlamaForCausalLM(config)
    config.bos_token_id = config.eos_token_id = config.pad_token_id = 0
    model.generation_config.eos_token_id = 0
    config._attn_implementation = "eager"
    return model.eval()


class Backends(dict):
    """Subjects by name; a test about one that this TransformerLens has not is skipped."""

    def __missing__(self, name):
        if name in NAMES:
            pytest.skip("TransformerLens 4 has no HookedTransformer")
        raise KeyError(name)


@pytest.fixture(scope="session")
def plain_models():
    """Name -> the transformers model of the subject of that name, built anew and never wrapped."""
    return {n: _transformers_model(n, 400) for n in NAMES[:3]}


@pytest.fixture(scope="session")
def subjects(tokenizer):
    """Name -> Subject, with scales of 2 everywhere."""
    import torch

    from emotion_interp.core import WRITABLE_KINDS, Site
    from emotion_interp.subjects import Subject

    made = Backends({n: Subject(_transformers_model(n, 400), tokenizer=tokenizer, name=n) for n in NAMES[:3]})
    for name, positional in (("hooked", "standard"), ("hooked_rotary", "rotary")):
        if not HOOKED:
            continue
        from transformer_lens import HookedTransformer, HookedTransformerConfig

        torch.manual_seed(1)
        config = HookedTransformerConfig(
            n_layers=3,
            d_model=16,
            n_ctx=48,
            d_head=8,
            n_heads=2,
            d_mlp=32,
            act_fn="gelu",
            d_vocab=400,
            positional_embedding_type=positional,
            rotary_dim=8 if positional == "rotary" else None,
            normalization_type="LN",
            initializer_range=0.2,
            seed=0,
        )
        made[name] = Subject(HookedTransformer(config, tokenizer=tokenizer), tokenizer=tokenizer, name=name)
    for subject in made.values():
        subject.scales.update({Site(layer, kind): 2.0 for layer in range(3) for kind in WRITABLE_KINDS})
    return made


@pytest.fixture(params=NAMES)
def subject(request, subjects):
    return subjects[request.param]


@pytest.fixture
def hooks_on():
    """How many hooks of any kind a subject's model carries."""

    def count(subject) -> int:
        points = {id(p): p for p in subject.model.hook_dict.values()}.values()
        inner = subject.model.original_model if subject.backend == "bridge" else subject.model.blocks[0]
        outer = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in (inner, subject.model))
        return outer + sum(len(p.fwd_hooks) + len(p._forward_hooks) for p in points)

    return count

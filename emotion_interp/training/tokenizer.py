"""A byte-level BPE vocabulary shared by the subject's languages, in Hugging Face layout."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from emotion_interp.training.corpus import Document

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

END_OF_TEXT = "<|endoftext|>"


def train_tokenizer(
    documents: Iterable[Document], vocab_size: int = 12_000, context: int = 256, seed: int = 0
) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE on a language-balanced sample: a third Chinese characters, two thirds the rest.

    Byte level means that no text is ever out of vocabulary; a rare Chinese character becomes up to three tokens.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    rng = random.Random(seed)
    pool = list(documents)
    rng.shuffle(pool)
    budgets = {"en": 12_000_000, "zh": 2_500_000}
    sample, used = [], dict.fromkeys(budgets, 0)
    for document in pool:
        # a mixed sample keeps either language from taking all merges
        if used.get(document.language, 0) < budgets.get(document.language, 1_000_000):
            used[document.language] = used.get(document.language, 0) + len(document.text)
            sample.append(document.text)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=24,
        show_progress=False,
    )
    tokenizer.train_from_iterator(sample, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        unk_token=END_OF_TEXT,
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    )


def load_tokenizer(folder: str | Path) -> PreTrainedTokenizerFast:
    """Load a tokenizer folder written by `save_pretrained`."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast.from_pretrained(str(folder))

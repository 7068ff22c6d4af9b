"""Tiny chat models in the layout of four families: the true form of their templates, and tokenizers that split as theirs do."""

from __future__ import annotations

import json
from typing import Any

from tests.families.zoo import make_model

CONTEXT = 320

QWEN = (
    "{%- if messages[0]['role'] == 'system' %}{{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}"
    "{%- else %}{{- '<|im_start|>system\\nYou are Qwen, a helpful assistant.<|im_end|>\\n' }}{%- endif %}"
    "{%- for message in messages %}{%- if message.role == 'user' or message.role == 'assistant' or (message.role == "
    "'system' and not loop.first) %}{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}"
    "{%- endif %}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
QWEN3 = (
    "{%- if messages[0].role == 'system' %}{{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}{%- endif %}"
    "{%- set ns = namespace(last=-1) %}{%- for message in messages %}{%- if message.role == 'user' %}{%- set ns.last = "
    "loop.index0 %}{%- endif %}{%- endfor %}"
    "{%- for message in messages %}{%- if message.role == 'user' or (message.role == 'system' and not loop.first) %}"
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}"
    "{%- elif message.role == 'assistant' %}{%- set content = message.content %}{%- set thought = '' %}"
    "{%- if '</think>' in content %}{%- set thought = content.split('</think>')[0].split('<think>')[-1].strip('\\n') %}"
    "{%- set content = content.split('</think>')[-1].lstrip('\\n') %}{%- endif %}"
    "{%- if loop.index0 > ns.last %}{{- '<|im_start|>assistant\\n<think>\\n' + thought + '\\n</think>\\n\\n' + "
    "content.lstrip('\\n') }}{%- else %}{{- '<|im_start|>assistant\\n' + content }}{%- endif %}{{- '<|im_end|>\\n' }}"
    "{%- endif %}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}"
    "{%- endif %}"
)
LLAMA3 = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + "
    "message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}"
    "{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception("
    "'Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if (message['role'] == "
    "'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + "
    "role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<start_of_turn>model\\n' }}{% endif %}"
)
SMOLLM = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nYou are a "
    "helpful AI assistant named SmolLM<|im_end|>\\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\\n' + "
    "message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}"
    "{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}{% if message['role'] == 'user' %}{{ '[INST] ' + "
    "message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token }}"
    "{% endif %}{% endfor %}"
)

FAMILIES: dict[str, tuple[str, str, dict[str, str], tuple[str, ...]]] = {
    "qwen": ("Qwen2", QWEN, {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}, ("<|im_start|>",)),
    "qwen3": ("Qwen3", QWEN3, {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}, ("<|im_start|>",)),
    "llama3": (
        "Llama",
        LLAMA3,
        {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"},
        ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    ),
    "gemma": (
        "Gemma 2",
        GEMMA,
        {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>"},
        ("<start_of_turn>", "<end_of_turn>"),
    ),
    "smollm": (
        "Llama",
        SMOLLM,
        {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "unk_token": "<|endoftext|>"},
        (),
    ),
    "mistral": (
        "Mistral",
        MISTRAL,
        {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
        ("[INST]", "[/INST]"),
    ),
}
"""Family -> (classes of transformers, template, named tokens, further special tokens)."""

SENTENCES = [
    "system user assistant model You are a helpful assistant named Qwen SmolLM",
    "The letter said that she was coming home and he felt happy",
    "How do you feel today? I feel calm, sad, angry and afraid",
    "他打开门，心里感到高兴。",
]


def make_chat_tokenizer(family: str) -> Any:
    """A tokenizer of 600 ids at most that splits as the family's does, with its special tokens and its template."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    _, template, named, more = FAMILIES[family]
    special = list(dict.fromkeys([*named.values(), *more]))
    pieces = family in ("gemma", "mistral")
    inner = Tokenizer(models.BPE(byte_fallback=pieces, unk_token="<unk>" if pieces else None))
    alphabet = [] if pieces else pre_tokenizers.ByteLevel.alphabet()
    if pieces:
        # words with their space as a mark before them; what is unknown falls back to bytes
        inner.normalizer = normalizers.Replace(" ", "▁")
        inner.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    else:
        inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=520, special_tokens=special, initial_alphabet=alphabet, show_progress=False, max_token_length=8
    )
    inner.train_from_iterator([s.replace("他", "") for s in SENTENCES] if pieces else SENTENCES, trainer)
    if pieces:
        state = json.loads(inner.to_str())
        known = state["model"]["vocab"]
        for byte in range(256):
            known.setdefault(f"<0x{byte:02X}>", len(known))
        inner = Tokenizer.from_str(json.dumps(state))
    made = PreTrainedTokenizerFast(
        tokenizer_object=inner, model_max_length=CONTEXT, additional_special_tokens=list(more), **named
    )
    made.chat_template = template
    return made


def make_chat_subject(family: str, saes: Any = (), seed: int = 0) -> Any:
    """A subject with a tiny random model of the family's class."""
    import emotion_interp as ei

    tokenizer = make_chat_tokenizer(family)
    model = make_model(FAMILIES[family][0], tokenizer, seed, max_position_embeddings=CONTEXT)
    model.config.sliding_window = CONTEXT if family in ("gemma", "mistral") else None
    return ei.Subject(model, saes=saes, tokenizer=tokenizer, name=family)

"""Neutral beginnings: an emotion word may follow, and no word of the concept sets is there. Written for this project."""

from __future__ import annotations

from typing import NamedTuple


class PromptSplit(NamedTuple):
    """Prompts to choose layer and dose on, and others to report on."""

    tune: tuple[str, ...]
    test: tuple[str, ...]


NEUTRAL_PROMPTS: dict[str, PromptSplit] = {
    "en": PromptSplit(
        tune=(
            "The note said that she felt",
            "When he opened the door he was",
            "The old man looked at the sea and was",
            "After the walk they were all",
            "She put down the phone and felt",
            "On the way home he thought about the",
            "The children came into the room and were",
            "He read the message again. It made him feel",
            "Everyone in the village talked about the",
            "Looking at the wall, she was full of",
            "That evening my brother seemed",
            "She walked along the river, thinking of her",
        ),
        test=(
            "The teacher closed the book and felt",
            "When the train arrived, she was",
            "He sat by the window and was",
            "In the morning the two neighbours were",
            "I told my sister what had happened. She was",
            "The driver stopped the car and felt",
            "They waited for an hour, and then they were",
            "He wrote to his cousin that he was",
            "The woman at the counter spoke with",
            "Hearing the news, the doctor was filled with",
            "All day long I have been feeling",
            "The boy looked at his hands. Inside him there was",
        ),
    ),
    "zh": PromptSplit(
        tune=(
            "他打开门，感到",
            "看完这封信，她觉得很",
            "老人望着大海，充满了",
            "吃完饭以后，大家都很",
            "她放下电话，感到非常",
            "今天我觉得自己很",
        ),
        test=(
            "老师合上书，觉得",
            "火车到站的时候，她感到很",
            "他坐在窗边，感到一阵",
            "听到这个消息，医生非常",
            "他在信里写道，自己很",
            "这几天我一直觉得",
        ),
    ),
}
"""Language -> neutral prompts, halves for tuning and testing."""

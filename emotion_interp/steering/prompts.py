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

STORY_PROMPTS: dict[str, PromptSplit] = {
    "en": PromptSplit(
        tune=(
            "Clara stood at the kitchen window and looked out at the street.",
            "Thomas put the envelope on the table and sat down.",
            "The bus stopped at the corner, and Maya got off.",
            "Daniel walked into the office a little after nine.",
            "Leah closed the door behind her and took off her coat.",
            "The two brothers sat on the porch after dinner.",
            "Sofia opened the box that had come in the mail.",
            "Marcus looked at the screen of his phone.",
            "The old woman crossed the square with her basket.",
            "Ben waited at the gate until the others came.",
            "Nora turned the page and read the next line.",
            "Elena stood in front of the mirror in the hall.",
            "Hannah locked the shop and walked to the tram stop.",
            "The two friends met at the fountain at noon.",
            "Paul carried the suitcase up to the third floor.",
            "The doctor read the chart and turned to the window.",
            "Irene waited in the corridor with her coat over her arm.",
            "After lunch the boys went down to the lake.",
            "Leo found an old photograph between the pages of the book.",
            "The guests had gone, and Martha stood alone in the dining room.",
            "Samuel heard his name and looked up from his desk.",
            "The road ended at a small house with a green door.",
            "Alice laid the key on the counter and said nothing.",
            "It was nearly dark when the bus reached the village.",
        ),
        test=(
            "Victor folded the newspaper and went to the window.",
            "The last customer left, and Ruth turned the sign on the door.",
            "Grandfather sat in his chair with the radio on his knees.",
            "Julia took the stairs down to the cellar.",
            "The two women walked back along the canal.",
            "Henry set the bag on the bench and looked at the clock.",
            "At the end of the corridor there was another door.",
            "The children stood in a row in front of the school.",
            "Anna pressed the button and the lift began to move.",
            "The farmer came in from the field and washed his hands.",
            "Philip counted the chairs and wrote the number down.",
            "My aunt poured the coffee and pushed the cup across the table.",
            "The telephone rang twice while Oscar was in the garden.",
            "Edith read the name on the parcel and carried it inside.",
            "The ferry left the harbour a few minutes after six.",
            "Robert stopped at the house where he had lived as a boy.",
            "The teacher wrote a date on the board and waited.",
            "Laura put the dog on its lead and went out.",
            "The talk began, and everyone looked at the man by the door.",
            "Simon found the old jacket at the back of the wardrobe.",
            "The porter drew the curtain and sat down beside the bed.",
            "Karl stopped the car at the edge of the forest.",
            "The neighbours had come over with a large pot of soup.",
            "It had snowed in the night, and Jane looked out at the yard.",
        ),
    ),
}
"""Language -> first sentences of stories in which nothing is felt yet, for judges that read whole texts."""

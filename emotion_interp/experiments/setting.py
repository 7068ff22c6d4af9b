"""What is steered, with which prompts, judge, positions and seed: said once, checked once, taken by every experiment."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from emotion_interp.core.arguments import check_against_bank, check_fields, checked, parameters
from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.languages import check_language
from emotion_interp.judges.judging import CoordinateJudge, TextJudge
from emotion_interp.steering.interventions import Positions, check_positions
from emotion_interp.subjects.decoding import Decoding
from emotion_interp.subjects.turns import TURN_POSITIONS, conversations

if TYPE_CHECKING:
    from emotion_interp.subjects.subject import Subject

R = TypeVar("R")
TEXT_JUDGES = "TextJudge | Mapping[str, TextJudge] | None"


@dataclass(frozen=True, eq=False)
class Setting:
    """What an experiment steers and how its texts are made and judged; checked when it is made, before a model runs.

    `dataclasses.replace(setting, seed=1)` is the same setting with another choice.

    Attributes:
        subject: the model.
        bank: a `FeatureBank`, or anything with `direction(emotion, layer=, language=, method=)`, `layers`, `scales` and
            `held_out_words(emotion, language)`.
        prompts: neutral beginnings (`NEUTRAL_PROMPTS`), or the texts of `necessity`; none where an experiment has its own. A
            conversation is one as `subject.rendered(messages)`.
        judge: a classifier with `emotions` and `predict_proba(texts)`; default: the next-word judge, which reads the
            probability of the emotion's held-out words right after the prompt. Several, by name: all judge the same texts;
            an emotion's figures are those of the first that knows it. For the dial a judge of coordinates.
        language: of directions and words.
        text_language: of the prompts and of the next-word judge's words, where it is another one than the directions'.
        words: emotion -> words for the next-word judge; default: the bank's held-out words.
        positions: where vectors are added, as in `steer`.
        max_new_tokens: length of the texts, in which it shows whether they stay intact; 0: none are written, which a text
            judge cannot do with.
        samples: texts of each prompt under each intervention, averaged before any interval; above 1 with `do_sample`.
        seed: of everything random.
        generation: options of `decode` (`do_sample`, `temperature`, ...).

    Raises:
        EmotionInterpError: prompts of another language or too long, options that fit no text, or a language that the bank
            does not have.

    Example:
        >>> setting = ei.Setting(subject, bank, NEUTRAL_PROMPTS["en"].test, seed=1)  # doctest: +SKIP
        >>> ei.dose_response(setting, ["joy"], [0.25, 0.5], layers=[2])  # doctest: +SKIP
    """

    FIELDS: ClassVar[tuple[str, ...]] = (
        "judge",
        "language",
        "text_language",
        "words",
        "positions",
        "max_new_tokens",
        "samples",
        "seed",
    )

    subject: Subject
    bank: Any
    prompts: Sequence[str] = ()
    judge: TextJudge | CoordinateJudge | Mapping[str, TextJudge] | None = None
    language: str = "en"
    text_language: str | None = None
    words: Mapping[str, Sequence[str]] | None = None
    positions: Positions = "from_last_prompt_token"
    max_new_tokens: int = 20
    samples: int = 1
    seed: int = 0
    generation: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fields(self)
        if self.language != "en":
            # English where nothing was said is no claim about the bank: an experiment may take each of its languages
            check_against_bank(vars(self))
        object.__setattr__(self, "prompts", tuple(self.prompts))
        check_positions(self.positions)
        remedy = "give language={0!r}, or text_language={0!r} for directions of another"
        check_language(self.prompts, self.spoken, "the prompts", remedy)
        if self.samples > 1 and not self.generation.get("do_sample"):
            raise EmotionInterpError(
                f"{self.samples} greedy texts of one prompt are all the same; give do_sample=True, or samples=1."
            )
        # an option that is none, or a prompt that does not fit, must not wait for the first text to be noticed
        rows = [t.row for t in self.subject.tokenize(self.prompts, whole=True)] if self.prompts else []
        if rows and isinstance(self.positions, str) and self.positions in TURN_POSITIONS:
            conversations(self.positions, len(rows), [row.turns for row in rows])
        Decoding(self.subject, rows, self.max_new_tokens, **self.generation)

    @property
    def spoken(self) -> str:
        """The language of the prompts."""
        return self.text_language or self.language

    def some_prompts(self) -> tuple[str, ...]:
        """The prompts, of which an experiment needs at least one."""
        if not self.prompts:
            raise EmotionInterpError("prompts is a list of at least one text, got none.")
        return tuple(self.prompts)

    def __repr__(self) -> str:
        said = [f"{f.name}={getattr(self, f.name)!r}" for f in fields(self)[4:] if getattr(self, f.name) != f.default]
        return f"Setting({self.subject.name!r}, {len(self.prompts)} prompts{''.join(f', {fact}' for fact in said)})"


def simple_call(
    *order: str,
    takes: Sequence[str] = Setting.FIELDS,
    judge: str = TEXT_JUDGES,
    renamed: Mapping[str, str] = MappingProxyType({}),
    generation: Mapping[str, Any] | None = MappingProxyType({}),
    **defaults: Any,
) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Let a function of a `Setting` be called with subject, bank and a setting's fields instead, which makes the setting.

    Args:
        order: names that may be given by position after subject and bank.
        takes: fields of a setting that the function has a use for.
        judge: the kinds of judge, as an annotation.
        renamed: field -> what the simple call has always called it.
        generation: defaults of `decode`'s options, which are all other keywords; None: it writes no text.
        defaults: of fields, where they differ from the setting's.
    """
    field_of = {renamed.get(name, name): name for name in ("subject", "bank", "prompts", *takes)}

    def decorate(function: Callable[..., R]) -> Callable[..., R]:
        own_parameters = {name: parameter for name, parameter in parameters(function).items() if name != "setting"}
        asked = {
            n: own_parameters.get(n) or _field(n, field_of[n], judge, defaults) for n in ("subject", "bank", *order)
        }
        asked |= {
            n: own_parameters.get(n) or _field(n, field_of[n], judge, defaults)
            for n in (*own_parameters, *field_of)
            if n not in asked
        }
        first = len(order) + 2
        form = [parameter.replace(kind=parameter.POSITIONAL_OR_KEYWORD) for parameter in [*asked.values()][:first]]
        form += [parameter.replace(kind=parameter.KEYWORD_ONLY) for parameter in [*asked.values()][first:]]
        if generation is not None:
            form.append(inspect.Parameter("generation", inspect.Parameter.VAR_KEYWORD, annotation="Any"))
        signature = inspect.Signature(form)

        def make(*args: Any, **kwargs: object) -> R:
            given = signature.bind(*args, **kwargs).arguments
            chosen = {**(generation or {}), **given.pop("generation", {})}
            choices = {**defaults} | {field_of[n]: value for n, value in given.items() if n not in own_parameters}
            setting = Setting(**choices, generation=chosen)
            return function(setting, **{n: value for n, value in given.items() if n in own_parameters})

        vars(make)["__signature__"] = signature
        make.__name__, make.__qualname__ = function.__name__, function.__qualname__
        simple = checked(make)

        @functools.wraps(function)
        def call(*args: object, **kwargs: object) -> R:
            with_setting = "setting" in kwargs or (bool(args) and isinstance(args[0], Setting))
            return (function if with_setting else simple)(*args, **kwargs)

        vars(call)["simple"] = simple
        return call

    return decorate


def _field(name: str, field_name: str, judge: str, defaults: Mapping[str, object]) -> inspect.Parameter:
    """A field of a setting as a parameter of the simple call; what every experiment needs has no default."""
    setting_field = {f.name: f for f in fields(Setting)}[field_name]
    default = (
        inspect.Parameter.empty
        if setting_field.default is MISSING or field_name == "prompts"
        else setting_field.default
    )
    annotation = judge if field_name == "judge" else setting_field.type
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=defaults.get(field_name, default), annotation=annotation
    )

"""A sweep.toml checked as a whole before anything is loaded: every mistake in it at once, each with its line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from emotion_interp.concepts import concept_set
from emotion_interp.concepts.scenes import SCENE_LANGUAGES
from emotion_interp.core.errors import EmotionInterpError, FileFormatError, UnknownNameError
from emotion_interp.core.reading import LARGEST_RECORD, parse_toml, read_text
from emotion_interp.core.similar import suggestion
from emotion_interp.core.types import KINDS
from emotion_interp.geometry.coordinates import MIN_EMOTIONS
from emotion_interp.norms import load_norms
from emotion_interp.study.sweep_choices import wrong_choices
from emotion_interp.study.sweep_file import SaeEntry, SubjectEntry, SweepFile
from emotion_interp.study.sweep_lines import Place, key_lines, line_of
from emotion_interp.subjects.loading import BUNDLED, bundled_folder
from emotion_interp.subjects.lookup import checked_model_name, checked_release, config_of
from emotion_interp.subjects.named import MODELS

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from emotion_interp.concepts import ConceptSet

_DEPTHS = ("n_layer", "num_hidden_layers", "n_layers", "num_layers")


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong in a sweep.toml: its line, the key, and what would be right."""

    line: int
    place: str
    message: str

    def __str__(self) -> str:
        return f"line {self.line}, {self.place}: {self.message}"


class SweepFileError(FileFormatError):
    """Everything that is wrong in a sweep.toml; `mistakes` has them one by one."""

    def __init__(self, path: Path, mistakes: list[Mistake]) -> None:
        self.mistakes = mistakes
        more = f"{len(mistakes)} mistakes" if len(mistakes) > 1 else "a mistake"
        super().__init__(f"{path} has {more}: {' | '.join(map(str, mistakes))}")


def read_sweep(path: str | Path) -> SweepFile:
    """Read and check a sweep.toml; relative paths in it are taken from the folder it lies in, where they exist there.

    Raises:
        SweepFileError: everything that is wrong, with line numbers.
        FileFormatError: it is missing or no TOML.
    """
    path = Path(path)
    text = read_text(path, "a sweep is described by a TOML file", largest=LARGEST_RECORD)
    values = parse_toml(text, str(path))
    lines = key_lines(text)
    mistakes: list[Mistake] = []
    file, errors = _validated(values)
    # a key that may be one of several kinds of value has an error for each of them: the deepest, and that of the kind which
    # the value is, know best
    for error in sorted(errors, key=lambda error: (-len(error["loc"]), error["type"].endswith("_type"))):
        one = _mistake(error, lines)
        if not any(f"{known.place}.".startswith(f"{one.place}.") for known in mistakes):
            mistakes.append(one)
    if errors:
        # what is wrong by its type hides nothing of what is wrong beside it
        file, _ = _validated(_filled(_without(values, [error["loc"] for error in errors])))
    if file is not None:
        file = _with_paths(file, path.parent)
        wrong = [*_wrong(file), *wrong_choices(file, path.parent)]
        mistakes += [Mistake(line_of(lines, at), _said(at), message) for at, message in wrong]
    if file is None or mistakes:
        raise SweepFileError(path, sorted(mistakes, key=lambda m: m.line))
    return file


def _validated(values: object) -> tuple[SweepFile | None, list[ErrorDetails]]:
    """The file, or what keeps it from being one."""
    try:
        return SweepFile.model_validate(values), []
    except ValidationError as error:
        return None, list(error.errors())


def _without(values: object, places: list[Place]) -> Any:
    """The values without those at some places."""
    if not isinstance(values, dict):
        return values
    left = {}
    for key, value in values.items():
        below = [place[1:] for place in places if place[:1] == (key,)]
        if () in below:
            continue
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            numbered = [_without(item, [b[1:] for b in below if b[0] == i]) for i, item in enumerate(value)]
            left[key] = [item for i, item in enumerate(numbered) if (i,) not in below]
        elif isinstance(value, dict):
            left[key] = _without(value, below)
        elif not below:
            left[key] = value
    return left


def concepts_of(file: SweepFile) -> ConceptSet:
    """The concept sets of a sweep, with the emotions that it asks for."""
    sets = [concept_set(name.partition(":")[0], size=name.partition(":")[2] or "standard") for name in file.languages]
    concepts = sets[0]
    for other in sets[1:]:
        concepts = concepts | other
    return concepts if file.emotions is None else concepts.subset(emotions=file.emotions)


def _filled(values: Any) -> Any:
    """The values with a model for each subject that names none, so that all else of it can be checked."""
    subjects = values.get("subjects")
    if isinstance(subjects, list):
        for number, entry in enumerate(subjects):
            if isinstance(entry, dict) and "model" not in entry:
                entry |= {"model": BUNDLED, "name": entry.get("name", f"subject {number + 1}")}
    return values


def _mistake(error: ErrorDetails, lines: dict[Place, int]) -> Mistake:
    """One error of pydantic, in the words of the house."""
    at = _keys_alone(error["loc"], error["type"] == "extra_forbidden")
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        known = _known_keys(at[:-1])
        message = f"there is no such key.{suggestion(at[-1], known)} Known: {', '.join(known)}."
    elif error["type"] == "missing":
        message = "this key is needed."
    else:
        message = f"{message}, got {error['input']!r:.80}."
    return Mistake(line_of(lines, at), _said(at), message)


def _keys_alone(place: Place, unknown: bool) -> Place:
    """A place without the names that pydantic gives the members of a union; an `unknown` key at its end stays."""
    at: Place = ()
    for number, part in enumerate(place):
        last = unknown and number == len(place) - 1
        if isinstance(part, int) or last or part in _known_keys(at):
            at = (*at, part)
    return at


def _known_keys(at: Place) -> list[str]:
    """The keys of a table of the file."""
    model: Any = SweepFile
    for part in at:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part)
        model = {"subjects": SubjectEntry, "saes": SaeEntry}.get(part, field.annotation if field else None)
        if model is None or not hasattr(model, "model_fields"):
            return []
    return list(model.model_fields)


def _said(at: Place) -> str:
    return ".".join(str(part) if isinstance(part, str) else str(part + 1) for part in at) or "the file"


def _with_paths(file: SweepFile, folder: Path) -> SweepFile:
    """The file with its relative paths as seen from anywhere."""

    def found(name: str) -> str:
        near = folder / name
        if not Path(name).is_absolute() and near.exists():
            return str(near.resolve())
        return str(Path(name).resolve()) if Path(name).exists() and name != BUNDLED else name

    def sae(source: str | SaeEntry) -> str | SaeEntry:
        return (
            found(source) if isinstance(source, str) else source.model_copy(update={"release": found(source.release)})
        )

    subjects = []
    for entry in file.subjects:
        changes = {"model": found(entry.model), "name": entry.called, "saes": [sae(s) for s in entry.sources] or None}
        subjects.append(entry.model_copy(update=changes))
    norms = found(file.norms) if file.norms.endswith(".csv") else file.norms
    return file.model_copy(update={"subjects": subjects, "norms": norms})


def _wrong(file: SweepFile) -> Iterator[tuple[Place, str]]:
    """Everything that is wrong beyond types: names that do not exist, choices that do not go together."""
    yield from _wrong_concepts(file)
    try:
        load_norms("csv", file.norms) if file.norms.endswith(".csv") else load_norms(file.norms)
    except EmotionInterpError as error:
        yield ("norms",), str(error)
    names: dict[str, int] = {}
    for number, entry in enumerate(file.subjects):
        at: Place = ("subjects", number)
        if names.setdefault(entry.called, number) != number:
            yield at, f"a subject called {entry.called!r} is there already; give this one another name."
        yield from ((at + key, message) for key, message in _wrong_subject(entry))
        if not entry.sources and entry.model != BUNDLED:
            yield (
                (*at, "saes"),
                f"{entry.called} needs saes, a release or a folder (`emotion-interp train-saes` makes some).",
            )
    if "features" not in file.analyses:
        yield ("analyses",), "the features are needed by every other analysis; add 'features'."


def _wrong_concepts(file: SweepFile) -> Iterator[tuple[Place, str]]:
    try:
        concepts = concepts_of(file.model_copy(update={"emotions": None}))
    except EmotionInterpError as error:
        yield ("languages",), str(error)
        return
    asked = file.emotions or concepts.emotions
    for emotion in file.emotions or ():
        if emotion not in concepts.emotions:
            yield ("emotions",), str(UnknownNameError("emotion", emotion, concepts.emotions))
    for emotion in file.steering.emotions if "steering" in file.analyses else ():
        if emotion not in concepts.emotions:
            yield ("steering", "emotions"), str(UnknownNameError("emotion", emotion, concepts.emotions))
    if "alignment" in file.analyses and len(set(asked)) < MIN_EMOTIONS:
        yield ("emotions",), f"an alignment needs at least {MIN_EMOTIONS} emotions, got {len(set(asked))}."
    if "scenes" in file.stimuli:
        for language in concepts.languages:
            if language not in SCENE_LANGUAGES:
                yield ("languages",), str(UnknownNameError("language of the scenes", language, SCENE_LANGUAGES))


def _wrong_subject(entry: SubjectEntry) -> Iterator[tuple[Place, str]]:
    bundled = entry.model == BUNDLED
    if not bundled and entry.model.lower() not in MODELS:
        try:
            checked_model_name(entry.model)
        except EmotionInterpError as error:
            yield ("model",), str(error)
            return
        if Path(entry.model).is_dir() and not (Path(entry.model) / "config.json").is_file():
            yield ("model",), f"{entry.model} holds no config.json; a model folder in Hugging Face layout is needed."
    config = config_of(str(bundled_folder() / "model") if bundled else entry.model)
    depth = next((config[k] for k in _DEPTHS if isinstance(config.get(k), int)), None)
    for layer in entry.layers or ():
        if depth is not None and layer >= depth:
            yield ("layers",), str(UnknownNameError("layer", layer, range(depth)))
    for kind in entry.kinds or ():
        if kind not in KINDS:
            yield ("kinds",), str(UnknownNameError("site kind", kind, KINDS))
    for source in entry.sources:
        try:
            checked_release(source if isinstance(source, str) else source.release)
        except EmotionInterpError as error:
            yield ("saes",), str(error)

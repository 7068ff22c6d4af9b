"""Peak memory of a whole sweep at 1x and 16x the stimuli: `python -m benchmarks.sweep_memory [--subjects bundled,...]`.

Every sweep has a process of its own, whose peak (resource.getrusage) includes Python, torch, the model with its SAEs, the
plan, the readings, banks and tables; its own peak (Linux' RssAnon, sampled) is that without mapped files. It reads two
languages at three positions; the words of five emotions and as many neutral ones as `--words` allows, each in `--carriers`
carriers. At 16x each word stands beside fifteen made of it by a letter at its end, so that no text is there twice. A run
that is killed goes on after the sweeps in `--log`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from benchmarks.tables import markdown, write

if TYPE_CHECKING:
    from emotion_interp.concepts import ConceptSet
    from emotion_interp.concepts.model import ConceptWord

TIMES = (1, 16)
EMOTIONS = ["anger", "fear", "joy", "love", "sadness"]
TOML = """
emotions = {emotions}
languages = ["en", "zh"]
positions = ["last", "span", "text"]
analyses = ["features"]
[reading]
shard_kilobytes = 16
batch_tokens = 512
[[subjects]]
"""
ENTRIES = {
    "bundled": {"model": "bundled"},
    "gemma-3-270m": {"model": "gemma-3-270m", "saes": "saved_features/gemma-3-270m/saes"},
    "tinystories": {"model": "runs/tinystories-instruct-3m-chat", "saes": "runs/saes/tinystories"},
    "smollm2": {"model": "smollm2-135m-instruct", "saes": "runs/saes/smollm2"},
}
LETTERS = "aeioubdfgklmnpr"


def many(concepts: ConceptSet, times: int, words: int, carriers: int) -> ConceptSet:
    """So many words of each emotion and neutral ones, each with its made-up neighbours, in the first carriers."""

    def more(chosen: tuple[ConceptWord, ...]) -> tuple[ConceptWord, ...]:
        ends = ["", *LETTERS][:times]
        return tuple(
            replace(w, word=w.word + e, id=f"{w.id}.{e or '-'}", lemma=f"{w.lemma} {e}".strip())
            for w in chosen
            for e in ends
        )

    parts = []
    for part in concepts.parts:
        chosen = tuple(replace(c, words=more(c.words[:words]), shared=()) for c in part.concepts)
        neutral = more(part.neutral[: words * len(chosen)])
        parts.append(replace(part, concepts=chosen, neutral=neutral, templates=part.templates[:carriers]))
    return type(concepts)(tuple(parts))


def measure(subject: str, times: int, words: int, carriers: int) -> dict[str, Any]:
    """One sweep: its stimuli and tokens, and the peak of this process."""
    import emotion_interp as ei
    from emotion_interp.study import sweep_plan

    plain = sweep_plan.concepts_of
    # a sweep.toml names shipped words only, and there are not sixteen times as many
    sweep_plan.concepts_of = lambda file: many(plain(file), times, words, carriers)
    lines = [
        f"{key} = {json.dumps(value if key == 'model' and '/' not in value else _absolute(value))}"
        for key, value in ENTRIES[subject].items()
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sweep.toml"
        path.write_text(TOML.format(emotions=EMOTIONS) + "\n".join(lines))
        began = time.process_time()
        with _Watch() as watch:
            results = ei.sweep(path)
        spent, units = time.process_time() - began, results.table("units")
        disk = sum(file.stat().st_size for file in results.path.rglob("*") if file.is_file())
    read = units[units["stage"] == "read"]
    return {
        "subject": subject,
        "times": times,
        "stimuli": int(read["n_stimuli"].sum()),
        "tokens": int(read["n_tokens"].sum()),
        "shards": len(read),
        "MB on disk": round(disk / 1e6),
        "processor, s": round(spent),
        "peak MB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "own peak MB": round(watch.most / 1024),
    }


class _Watch:
    """Looks twenty times a second how much memory is this process' own; files that are mapped (libraries, weights) count in
    the peak of the whole, come and go with what others need, and are none of the sweep's."""

    def __enter__(self) -> _Watch:
        self.most, self._over = 0, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def _look(self) -> None:
        while not self._over.wait(0.05):
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("RssAnon:"):
                    self.most = max(self.most, int(line.split()[1]))

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()


def _absolute(value: str) -> str:
    return str(Path(value).resolve())


def main() -> None:
    """Start a process for each sweep, and print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subjects", default=",".join(ENTRIES))
    parser.add_argument("--words", type=int, default=4)
    parser.add_argument("--carriers", type=int, default=2)
    parser.add_argument("--one", type=int, default=0, help="times; only this sweep, in this process")
    parser.add_argument("--log", type=Path, default=Path("runs/sweep_memory.jsonl"))
    parser.add_argument("--write", type=Path, default=None)
    options = parser.parse_args()
    size = [str(options.words), str(options.carriers)]
    if options.one:
        print(json.dumps(measure(options.subjects, options.one, options.words, options.carriers)))
        return
    rows = [json.loads(line) for line in options.log.read_text().splitlines()] if options.log.exists() else []
    for subject in filter(None, options.subjects.split(",")):
        for times in TIMES:
            if any((r["subject"], r["times"], r["words"]) == (subject, times, options.words) for r in rows):
                continue
            command = [sys.executable, "-m", "benchmarks.sweep_memory", "--subjects", subject, "--one", str(times)]
            command += ["--words", size[0], "--carriers", size[1]]
            # the peak of a child starts at its parent's, so the parent loads nothing heavy
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
            rows.append({"words": options.words, **json.loads(done.stdout.strip().splitlines()[-1])})
            print(rows[-1], flush=True)
            options.log.parent.mkdir(parents=True, exist_ok=True)
            options.log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    frame = pd.DataFrame(rows)
    for name in ("peak MB", "own peak MB"):
        first = frame[frame["times"] == TIMES[0]].set_index(["subject", "words"])[name]
        frame[name.replace("MB", "ratio")] = [
            r[name] / first[r["subject"], r["words"]] for r in frame.to_dict("records")
        ]
    parts = (
        "# Peak memory of a sweep",
        "`python -m benchmarks.sweep_memory --subjects SUBJECT --words WORDS --carriers N`, one run for each subject, the log "
        "shared; a last run with `--subjects '' --write` makes this page. A whole sweep in a process of its own: two languages, "
        "three positions, all layers with an SAE; the same words at 1x and 16x (at most 1.1 wanted). Peak: of all pages in "
        "memory, with those of mapped files, which the system takes away where others need room; own peak: without them.",
        markdown(frame, 2),
    )
    print("\n\n".join(parts)) if options.write is None else write(options.write, *parts)


if __name__ == "__main__":
    main()

"""A sweep: layers x sites x SAEs x models x languages from one file; killed and started again, it goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from emotion_interp import __version__
from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import UnknownNameError, tell
from emotion_interp.core.memory import one_heap
from emotion_interp.study.sweep_check import read_sweep
from emotion_interp.study.sweep_engine import Ending, InProcess, LocalProcesses, Outcome, Pool, run_units
from emotion_interp.study.sweep_file import ENGINES, EngineChoices
from emotion_interp.study.sweep_plan import READ, SweepPlan, sweep_plan
from emotion_interp.study.sweep_results import SweepResults, load_sweep
from emotion_interp.study.sweep_store import SweepFolder
from emotion_interp.study.sweep_tables import write_tables
from emotion_interp.study.sweep_work import SweepJob

if TYPE_CHECKING:
    from emotion_interp.study.sweep_file import SweepFile

Progress = Callable[[str, int, int], None]
"""Receives (what is done, units done, units in all)."""


@checked
def sweep(
    path: str | Path,
    out: str | Path | None = None,
    *,
    engine: str | None = None,
    workers: int | None = None,
    threads: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> SweepResults:
    """Run all that a sweep.toml describes; every finished unit is kept, and a second call repeats nothing that is done.

    A unit reads one shard of the stimuli through one subject, for all its layers, sites, SAEs, languages and positions in
    one pass, or makes one table from what was read. Units are kept under the hash of all that decides them and joined
    exactly: how many workers there were, and how often they were killed, changes no bit of the tables.

    Args:
        path: the sweep.toml; `emotion-interp sweep --schema` prints what it may say.
        out: folder; default: the file's `out`, else beside the file and named as it.
        engine: "local" (processes of this machine) or "ray" (extra `ray`); default: the file's.
        workers: default: the file's. One local worker is this process itself.
        threads: of each worker; default: the file's. Other numbers may have other last bits.
        progress: receives (what is done, units done, units in all).

    Raises:
        UnknownNameError: another engine.
        FileFormatError: the file is wrong; every mistake with its line.
        EmotionInterpError: another sweep holds the folder, or nothing can be written any more.

    Warns:
        UserWarning: units failed; the tables are without them, and the next call tries them again.

    Example:
        >>> import emotion_interp as ei
        >>> results = ei.sweep("sweep.toml", workers=2)  # doctest: +SKIP
    """
    if engine not in (None, *ENGINES):
        raise UnknownNameError("engine", engine, ENGINES)
    with one_heap():
        return _swept(path, out, {"kind": engine, "workers": workers, "threads": threads}, progress)


def _swept(
    path: str | Path, out: str | Path | None, changes: dict[str, object], progress: Progress | None
) -> SweepResults:
    file = read_sweep(path)
    choices = file.engine.model_copy(update={k: v for k, v in changes.items() if v is not None})
    plan, folder = sweep_plan(file), SweepFolder(place_of(file, path, out))
    with folder.held():
        _announce(folder, plan)
        ending = _work(plan, folder, choices, progress)
        tables = write_tables(plan, folder)
        failed = {plan.by_id[unit].title: said for unit, said in ending.failed.items()}
        folder.write_record(**_entries(plan), tables=tables, failed=failed)
        folder.note("failed" if failed else "finished", done=ending.done)
    if failed:
        first = next(iter(failed.items()))
        tell(
            f"{len(failed)} of {len(plan.by_id)} units failed; the tables are without them, and the same call tries them "
            f"again. {first[0]}: {first[1]}"
        )
    return load_sweep(folder.path)


def place_of(file: SweepFile, path: str | Path, out: str | Path | None) -> Path:
    """The folder of a sweep."""
    if out is not None:
        return Path(out)
    path = Path(path)
    return path.parent / file.out if file.out else path.with_suffix("")


def _entries(plan: SweepPlan) -> dict[str, object]:
    """What sweep.json says of a plan: enough for `sweep_status`, which makes no plan."""
    units = [[u.id, u.stage, u.subject, u.kind, u.position, u.seed, u.shard] for u in dict.fromkeys(plan.units)]
    return {"version": __version__, "settings": plan.file.model_dump(mode="json"), "key": plan.key, "units": units}


def _announce(folder: SweepFolder, plan: SweepPlan) -> None:
    """The record of what is to be done, before any of it is; damaged units are said and go."""
    record = folder.record()
    known = {row[0] for row in record.get("units", ())}
    if record.get("tables") and not known & set(plan.by_id):
        tell(
            f"{folder.path} has the tables of another sweep, and these take their place (its units stay, so that it is soon "
            "made again); give another --out to have both."
        )
    if record.get("key") != plan.key or "tables" in record:
        folder.write_record(**_entries(plan))
    for unit in plan.by_id:
        if folder.is_damaged(unit):
            tell(f"{plan.by_id[unit].title}: its files were changed or damaged (SHA-256), and it is done again.")
            folder.note("damaged", unit=unit)
            folder.drop(unit)


def pool_of(job: SweepJob, choices: EngineChoices, plan: SweepPlan) -> Pool:
    """The workers that the choices ask for.

    Raises:
        UnsupportedError: Ray is asked for and not installed.
    """
    if choices.kind == "ray":
        from emotion_interp.study.sweep_ray import RayPool

        return RayPool(job, choices)
    if choices.workers == 1:
        return InProcess(job.using(plan))
    return LocalProcesses(job, choices.workers, choices.threads)


def _work(plan: SweepPlan, folder: SweepFolder, choices: EngineChoices, progress: Progress | None) -> Ending:
    total = len(plan.by_id)
    done = sum(folder.is_done(unit) for unit in plan.by_id)
    folder.note("run", engine=choices.kind, workers=choices.workers, done=done, units=total)
    if done == total:
        return Ending(0, {})

    def tell_of(event: str, outcome: Outcome | None, unit: str) -> None:
        nonlocal done
        if outcome is None:
            folder.note(event, unit=unit)
            return
        facts = outcome.facts
        if event == "done":
            done += 1
            folder.trust(unit)
            folder.note(
                event, unit=unit, seconds=facts.get("seconds"), tokens=facts.get("n_tokens"), pid=facts.get("pid")
            )
        else:
            folder.note(event, unit=unit, error=outcome.error)
            if event == "again":
                tell(f"{plan.by_id[unit].title} is tried again: {outcome.error}")
        if progress is not None:
            progress(_throughput(plan, unit, outcome), done, total)

    job = SweepJob(str(folder.path.resolve()), plan.file.model_dump_json(), choices.threads)
    pool = pool_of(job, choices, plan)
    try:
        return run_units(plan.by_id.values(), folder.is_done, pool, choices.retries, tell_of)
    except KeyboardInterrupt:
        folder.note("interrupted", done=done)
        tell(
            f"interrupted; {done} of {total} units are done and kept in {folder.path}, and the same call goes on from there."
        )
        raise
    finally:
        pool.close()


def _throughput(plan: SweepPlan, unit: str, outcome: Outcome) -> str:
    """One line of what a unit was."""
    title, facts = plan.by_id[unit].title, outcome.facts
    if outcome.error is not None:
        return f"{title}: {outcome.error}"
    seconds, tokens = (float(facts.get(name, 0)) for name in ("seconds", "n_tokens"))
    speed = f", {tokens / max(seconds, 1e-9):,.0f} tokens/s" if plan.by_id[unit].stage == READ else ""
    return f"{title} ({seconds:.1f} s{speed})"

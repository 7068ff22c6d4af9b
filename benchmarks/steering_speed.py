"""What steering costs on the bundled subject: against the same batch unsteered, and a grid against single calls.

`OMP_NUM_THREADS=1 python -m benchmarks.steering_speed` prints ratios of one run. Rounds alternate and the median of the
paired ratios counts; with one thread on a CPU it is CPU time, so that what else the machine does weighs little.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

EMOTIONS, DOSES = 28, (0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
PROMPTS = ("The letter said", "When he opened the door,", "She was", "After the rain the old man")


def seconds(run: Callable[[], Any]) -> float:
    """Seconds of one call: of the CPU where torch runs on a single thread, else of the clock."""
    import torch

    clock = time.process_time if torch.get_num_threads() == 1 and not torch.cuda.is_available() else time.perf_counter
    began = clock()
    run()
    return clock() - began


def make_directions(subject: Any, count: int, layer: int) -> list[Any]:
    """Random directions: what is added does not change what adding costs."""
    from emotion_interp.core import Direction

    rng = np.random.default_rng(0)
    return [Direction(rng.normal(size=subject.d_model), layer=layer) for _ in range(count)]


def overhead(subject: Any, rounds: int, rows: int, new: int) -> dict[str, tuple[float, float]]:
    """Name -> (median, standard error of the mean) of steered over unsteered seconds of the same batch."""
    from emotion_interp.steering import batch_steer, steer

    prompts = [PROMPTS[i % len(PROMPTS)] for i in range(rows)]
    layer = subject.n_layers // 2
    several = make_directions(subject, rows, layer)

    def plain() -> None:
        subject.generate(prompts, max_new_tokens=new, eos_token_id=[])

    def one(positions: str) -> Callable[[], None]:
        def run() -> None:
            with steer(subject, several[0], 0.3, positions):
                plain()

        return run

    def each(positions: str) -> Callable[[], None]:
        def run() -> None:
            with batch_steer(subject, several, 0.3, positions):
                plain()

        return run

    runs = {
        "one direction, generated tokens": one("generated"),
        "one direction, all tokens": one("all"),
        "every row its own, generated tokens": each("generated"),
        "every row its own, all tokens": each("all"),
    }
    ratios: dict[str, list[float]] = {name: [] for name in runs}
    for run in (plain, *runs.values()):
        run()
    for i in range(rounds):
        names = list(runs) if i % 2 else list(runs)[::-1]
        for name in names:
            before, steered, after = seconds(plain), seconds(runs[name]), seconds(plain)
            ratios[name].append(2 * steered / (before + after))
    return {n: (float(np.median(r)), float(np.std(r, ddof=1) / np.sqrt(len(r)))) for n, r in ratios.items()}


def grid(subject: Any, new: int, emotions: int) -> dict[str, tuple[float, float]]:
    """Name -> (seconds, median ratio to the batched loop) of the whole 28 x 7 x 4 grid.

    Single calls are made for some emotions only, each beside a run of the whole grid in one loop, and count 28-fold.
    """
    from emotion_interp.steering import batch_steer, steer

    directions = make_directions(subject, EMOTIONS, subject.n_layers // 2)
    cells = [(d, dose, p) for d in directions for dose in DOSES for p in PROMPTS]

    def batched() -> None:
        with batch_steer(subject, [c[0] for c in cells], [c[1] for c in cells]):
            subject.generate([c[2] for c in cells], max_new_tokens=new, eos_token_id=[])

    def singly(direction: Any, prompts: list[Any]) -> None:
        for dose in DOSES:
            for prompt in prompts:
                with steer(subject, direction, dose):
                    subject.generate(prompt, max_new_tokens=new, eos_token_id=[])

    times: list[tuple[float, float, float]] = []
    for direction in directions[:emotions]:
        whole = seconds(batched)
        each = seconds(lambda d=direction: singly(d, list(PROMPTS))) * EMOTIONS
        some = seconds(lambda d=direction: singly(d, [list(PROMPTS)])) * EMOTIONS
        times.append((whole, each, some))
    names = ("one batched loop", "one generate per cell", "one generate per emotion and dose (4 prompts at once)")
    table = np.asarray(times)
    ratios = np.median(table / table[:, :1], 0)
    return {name: (float(np.median(table[:, i])), float(ratios[i])) for i, name in enumerate(names)}


def main() -> None:
    """Measure and print."""
    import torch

    import emotion_interp as ei

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--rows", type=int, default=28)
    parser.add_argument("--new", type=int, default=20, help="new tokens of each row")
    parser.add_argument("--emotions", type=int, default=4, help="emotions whose cells are also run one by one")
    parser.add_argument("--no-grid", action="store_true")
    options = parser.parse_args()
    subject = ei.load_subject()
    subject.scales.update({subject.site(layer): 20.0 for layer in range(subject.n_layers)})
    print(f"{subject!r}, {torch.get_num_threads()} thread(s), torch {torch.__version__}")
    print(f"\n{options.rows} rows x {options.new} new tokens, {options.rounds} alternating rounds\n")
    print("| steered | time over the unsteered batch |\n|---|---|")
    for name, (median, error) in overhead(subject, options.rounds, options.rows, options.new).items():
        print(f"| {name} | {median:.3f} (standard error {error:.3f}) |")
    if options.no_grid:
        return
    found = grid(subject, options.new, options.emotions)
    print(f"\n{EMOTIONS} emotions x {len(DOSES)} doses x {len(PROMPTS)} prompts, {options.new} new tokens each\n")
    print("| grid | seconds | times the batched loop |\n|---|---|---|")
    for name, (value, ratio) in found.items():
        print(f"| {name} | {value:.1f} | {ratio:.1f} |")


if __name__ == "__main__":
    main()

"""Time of `find_features` after reading, for 1.2 to 100 thousand texts: it grows with the texts and not with their square.

`python -m benchmarks.scaling [--texts 1200,5000,20000,100000]`: random activations of one layer (1,024 latents, a tenth of them
active in a text, some rather for an emotion), 25 emotions, 80 topics; processor seconds, so that other work on the machine does not
count.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

TEXTS = (1_200, 5_000, 20_000, 100_000)
D_SAE, ACTIVE = 1024, 0.1


def random_readings(n: int, emotions: tuple[str, ...], site: Any, d_model: int) -> tuple[Any, dict[Any, Any]]:
    """Units and readings of n texts; every emotion has latents of its own liking."""
    import pandas as pd
    from scipy.sparse import csr_matrix

    from emotion_interp.activations import SiteReadings

    rng = np.random.default_rng(0)
    code = np.arange(n) % len(emotions)
    topic = np.arange(n) // len(emotions) % 80
    words = pd.DataFrame({"unit": np.arange(n), "language": "en", "emotion": np.asarray(emotions)[code]})
    words["word"] = [f"text {i:06d}" for i in range(n)]
    words["group"], words["side"] = [f"topic {t}" for t in topic], np.where(topic % 2, "confirmation", "discovery")
    active = int(ACTIVE * D_SAE)
    latents = np.empty((n, active), dtype=np.int32)
    for e in range(len(emotions)):
        # every emotion likes some latents better than others, as stories do: many are tested further
        chance = np.exp(0.5 * rng.normal(size=D_SAE))
        latents[code == e] = rng.choice(D_SAE, ((code == e).sum(), active), p=chance / chance.sum())
    values = rng.exponential(size=latents.size).astype(np.float32)
    features = csr_matrix((values, (np.repeat(np.arange(n), active), latents.ravel())), shape=(n, D_SAE))
    fired = features.copy()
    fired.data = np.ones_like(fired.data)
    dense = rng.normal(size=(n, d_model)).astype(np.float32)
    return words, {site: SiteReadings(site, features, fired, dense, 1.0, np.ones(n))}


def section(sizes: tuple[int, ...] = TEXTS) -> str:
    import emotion_interp as ei
    from emotion_interp.features import Selection
    from emotion_interp.features.search import bank_from_readings

    subject, concepts = ei.load_subject(layers=[0]), ei.concept_set("en")
    emotions = tuple(sorted(concepts.emotions)[:25])
    lines = [
        f"Discovery and confirmation on random activations of one layer ({D_SAE:,} latents, {ACTIVE:.0%} active), 25 emotions:",
        "",
        "| texts | seconds of one core | per thousand texts |",
        "|---|---|---|",
    ]
    for n in sizes:
        words, readings = random_readings(n, emotions, subject.sites[0], subject.d_model)
        start = time.process_time()
        bank_from_readings(
            subject, concepts, words, readings, position="text", selection=Selection(), seed=0, kind="texts"
        )
        took = time.process_time() - start
        lines.append(f"| {n:,} | {took:.1f} | {1000 * took / n:.2f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", default=",".join(map(str, TEXTS)))
    print(section(tuple(int(n) for n in parser.parse_args().texts.split(","))))


if __name__ == "__main__":
    main()

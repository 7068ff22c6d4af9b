"""What a pass keeps beyond its memory budget: the same numbers to the byte, bounded memory, nothing left behind."""

import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotion_interp.activations import read_units, spill
from emotion_interp.activations.packed import PackedTexts
from emotion_interp.activations.spill import DenseSums, SparseRows, Spool, streamed_median
from emotion_interp.core import EmotionInterpError, Site

TEXTS = [
    "The word was joy",
    "She wrote down sadness and more",
    "他很快乐",
    "x",
    "They spoke about the fear of a spider",
]


def open_temporary_files() -> int:
    """Files of this process that have no name any more."""
    names = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            names.append(str(entry.readlink()))
        except OSError:
            continue
    return sum("(deleted)" in name for name in names)


def sparse_parts(rng, n_rows, n_units, n_columns):
    """Pieces of rows as a pass delivers them: (units, row, column, value), and the dense truth."""
    values = np.where(rng.random((n_rows, n_columns)) < 0.3, rng.random((n_rows, n_columns)), 0).astype(np.float32)
    units = rng.integers(0, n_units, n_rows)
    parts = []
    for start in range(0, n_rows, 7):
        block = values[start : start + 7]
        row, column = np.nonzero(block)
        parts.append((units[start : start + 7], row, column, block[row, column]))
    return parts, units, values


def gather(parts, shape: tuple[int, int], limit, n_stimuli):
    rows = SparseRows(*shape, limit)
    for part in parts:
        rows.add(*part)
    return rows.means(n_stimuli)


@given(st.lists(st.integers(0, 50), max_size=12), st.sampled_from([0, 40, 10**6]))
@settings(max_examples=25, deadline=None)
def test_a_spool_gives_back_what_was_appended_wherever_it_lies(sizes, limit):
    rng = np.random.default_rng(0)
    spool, expected = Spool(np.int32, limit), np.empty(0, np.int32)
    for size in sizes:
        piece = rng.integers(0, 100, size).astype(np.int32)
        spool.append(piece)
        expected = np.concatenate([expected, piece])
    assert spool.on_disk == (expected.nbytes > limit)
    assert spool.size == len(expected)
    assert np.array_equal(spool.read(len(expected) // 3, len(expected)), expected[len(expected) // 3 :])
    assert np.array_equal(spool.array(), expected)
    assert np.array_equal(np.concatenate([np.empty(0, np.int32), *spool.chunks()]), expected)


def test_a_spool_keeps_no_view_of_what_it_was_given():
    spool, piece = Spool(np.float32, 10**6), np.ones((2, 3), np.float32)
    spool.append(piece)
    piece[:] = 5
    assert np.array_equal(spool.array(), np.ones(6))


@given(st.integers(0, 1000), st.integers(1, 60), st.integers(1, 9))
@settings(max_examples=25, deadline=None)
def test_sparse_means_equal_brute_force_and_do_not_depend_on_the_budget(seed, n_rows, n_units):
    rng = np.random.default_rng(seed)
    parts, units, values = sparse_parts(rng, n_rows, n_units, 20)
    n_stimuli = np.bincount(units, minlength=n_units)
    results = [gather(parts, (n_units, 20), limit, n_stimuli) for limit in (0, 200, 10**7)]
    for unit in range(n_units):
        own = values[units == unit].astype(np.float64)
        if len(own):
            assert np.allclose(results[0][0][unit].toarray()[0], own.mean(0), rtol=1e-6)
            assert np.allclose(results[0][1][unit].toarray()[0], (own > 0).mean(0), rtol=1e-6)
        else:
            assert results[0][0][unit].nnz == 0
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            for name in ("data", "indices", "indptr"):
                assert getattr(one, name).tobytes() == getattr(two, name).tobytes()


def test_sparse_means_that_need_several_ranges_of_units_are_the_same(monkeypatch, rng):
    parts, units, _ = sparse_parts(rng, 200, 40, 30)
    n_stimuli = np.bincount(units, minlength=40)
    whole = gather(parts, (40, 30), 10**7, n_stimuli)
    monkeypatch.setattr(spill, "_CHUNK", 64)
    for one, two in zip(whole, gather(parts, (40, 30), 300, n_stimuli), strict=True):
        assert (one != two).nnz == 0 and one.nnz == two.nnz


@given(st.integers(0, 1000), st.sampled_from([0, 500, 10**7]))
@settings(max_examples=25, deadline=None)
def test_dense_means_equal_brute_force(seed, limit):
    rng = np.random.default_rng(seed)
    rows, units = rng.normal(size=(50, 6)).astype(np.float32), rng.integers(0, 8, 50)
    sums = DenseSums(8, limit)
    for start in range(0, 50, 9):
        sums.add(units[start : start + 9], rows[start : start + 9])
    means = sums.means(np.bincount(units, minlength=8))
    assert means.dtype == np.float32
    for unit in set(units):
        assert np.allclose(means[unit], rows[units == unit].astype(np.float64).mean(0), atol=1e-6)


@given(st.lists(st.floats(0, 2.0**100, width=32), min_size=1, max_size=80), st.sampled_from([0, 10**6]))
@settings(max_examples=25, deadline=None)
def test_the_streamed_median_is_exact(values, limit):
    array, spool = np.asarray(values, dtype=np.float32), Spool(np.float32, limit)
    spool.append(array)
    assert streamed_median(spool) == pytest.approx(float(np.median(array.astype(np.float64))), rel=1e-6)
    bound = np.float32(np.quantile(array, 0.7, method="higher"))
    expected = np.median(array[array <= bound].astype(np.float64))
    assert streamed_median(spool, bound) == pytest.approx(float(expected), rel=1e-6)


def test_a_reading_is_the_same_to_the_byte_at_any_budget(tiny_subject):
    texts, units = TEXTS * 6, np.arange(30) % 11
    plain = read_units(tiny_subject, texts, units, position="text")
    spilled = read_units(tiny_subject, texts, units, position="text", spill_bytes=0)
    for site in plain:
        for one, two in ((plain[site].features, spilled[site].features), (plain[site].fired, spilled[site].fired)):
            for name in ("data", "indices", "indptr"):
                assert getattr(one, name).tobytes() == getattr(two, name).tobytes()
        assert plain[site].dense.tobytes() == spilled[site].dense.tobytes()
        assert plain[site].scale == spilled[site].scale
        assert plain[site].dense.flags.writeable and not spilled[site].dense.flags.writeable


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files in /proc")
def test_temporary_files_go_with_the_readings_and_after_an_error(tiny_subject, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = open_temporary_files()
    readings = read_units(tiny_subject, TEXTS, range(5), position="text", spill_bytes=0)
    assert open_temporary_files() > before
    features = readings[Site(0)].features
    assert features is not None and features.sum() > 0
    del readings, features
    assert open_temporary_files() == before

    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_units(tiny_subject, TEXTS, range(5), position="text", spill_bytes=0, progress=stop)
    assert open_temporary_files() == before
    assert list(tmp_path.iterdir()) == []


def test_a_temporary_folder_that_cannot_be_written_is_named_as_the_cause(tiny_subject, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(EmotionInterpError, match="TMPDIR"):
        read_units(tiny_subject, TEXTS, range(5), position="text", spill_bytes=0)


def test_memory_does_not_follow_the_entries(monkeypatch, rng):
    """Peak of what Python and NumPy hold, the result included: beyond the budget a row costs 100 bytes, not its entries."""
    monkeypatch.setattr(spill, "_CHUNK", 2**14)
    row, column = np.nonzero(rng.random((50, 400)) < 0.3)
    value = rng.random(len(row)).astype(np.float32)
    peaks = {}
    # the first round only loads what is imported on the way
    for n in (50, 1000, 16_000):
        tracemalloc.start()
        rows, dense = SparseRows(n, 400, 2**19), DenseSums(n, 2**19)
        for start in range(0, n, 50):
            rows.add(np.arange(start, start + 50), row, column, value)
            dense.add(np.arange(start, start + 50), np.ones((50, 100), np.float32))
        n_stimuli = np.ones(n, dtype=np.int64)
        held = *rows.means(n_stimuli), dense.means(n_stimuli)
        peaks[n] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert held[0].nnz == len(row) * n // 50
    assert peaks[16_000] - 100 * 16_000 <= 1.2 * peaks[1000], peaks


def test_packed_texts_hold_the_same_tokens(tiny_subject):
    plain = tiny_subject.tokenize(TEXTS)
    packed = PackedTexts(tiny_subject, TEXTS, lambda i, text: np.arange(i % 2, len(text)))
    assert [t.ids for t in packed] == [t.ids for t in plain]
    assert [t.has_bos for t in packed] == [t.has_bos for t in plain]
    assert all(np.array_equal(packed.picks(i), np.arange(i % 2, len(plain[i]))) for i in range(5))
    assert [len(t) for t in packed[1:3]] == [len(t) for t in plain[1:3]]
    with pytest.raises(IndexError):
        packed[5]

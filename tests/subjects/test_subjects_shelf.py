"""SAEs that wait on disk: how many are in memory at a time, and that nothing else differs."""

import gc
import json
import os

import numpy as np
import pytest
import torch
from sae_lens import SAE

import emotion_interp as ei
from emotion_interp.activations import read_stimuli, read_units
from emotion_interp.activations.columns import read_columns
from emotion_interp.activations.waiting import WaitingTokens
from emotion_interp.core import FileFormatError, Site, UnknownNameError
from emotion_interp.core.memory import free_memory
from emotion_interp.subjects.loading import load_sae
from emotion_interp.subjects.shelf import SaeShelf, ShelvedReader, in_turns, scarce
from tests.conftest import make_gpt2, make_sae

LAYERS = 6


@pytest.fixture(scope="module")
def folders(tmp_path_factory, root_tokenizer):
    """A model of six layers in a folder, and an SAE for each."""
    root = tmp_path_factory.mktemp("thin")
    model = make_gpt2(root_tokenizer, layers=LAYERS)
    model.save_pretrained(root / "model")
    root_tokenizer.save_pretrained(root / "model")
    for layer in range(LAYERS):
        make_sae(layer).save_model(root / "saes" / f"layer_{layer}")
    return root / "model", root / "saes"


@pytest.fixture(scope="module")
def whole(folders):
    return ei.load_subject(folders[0], saes=folders[1])


def shelved(folders, resident, **options):
    return ei.load_subject(folders[0], saes=folders[1], load=ei.LoadOptions(resident=resident, **options))


class Counting:
    """Counts the SAEs of this project's subjects that are alive when another has been loaded."""

    def __init__(self, monkeypatch, but=()):
        self.loads, self.most = 0, 0
        known = {id(sae) for sae in but}
        original = SAE.load_from_disk

        def load(*arguments, **options):
            sae = original(*arguments, **options)
            gc.collect()
            alive = [x for x in gc.get_objects() if isinstance(x, SAE) and id(x) not in known]
            self.loads, self.most = self.loads + 1, max(self.most, len(alive))
            return sae

        monkeypatch.setattr(SAE, "load_from_disk", load)


@pytest.mark.parametrize("resident", [1, 2])
def test_find_features_keeps_at_most_so_many_saes_and_finds_the_same(
    folders, small_concepts, monkeypatch, whole, resident
):
    expected = ei.find_features(whole, small_concepts)
    gc.collect()
    others = [x for x in gc.get_objects() if isinstance(x, SAE)]
    counted = Counting(monkeypatch, others)
    bank = ei.find_features(shelved(folders, resident), small_concepts)
    # once to read, once for the directions
    assert counted.most == resident
    assert counted.loads <= 2 * LAYERS
    assert bank.table().equals(expected.table())
    assert bank.manifest["saes"] == expected.manifest["saes"]


def test_nothing_is_loaded_before_it_is_asked_for(folders, monkeypatch):
    counted = Counting(monkeypatch)
    subject = shelved(folders, 2)
    assert counted.loads == 0
    assert subject.layers == list(range(LAYERS)) and len(subject.saes) == LAYERS
    assert {r.d_sae for r in subject.readers.values()} == {128} and Site(3) in subject.saes
    assert counted.loads == 0
    subject.saes[Site(3)]
    assert counted.loads == 1


def test_layers_that_are_not_asked_for_are_not_loaded(folders, monkeypatch):
    counted = Counting(monkeypatch)
    subject = ei.load_subject(folders[0], saes=folders[1], layers=[1, 4])
    assert subject.layers == [1, 4] and counted.loads == 2


def test_chosen_latents_and_pooled_texts_are_read_the_same_bit_by_bit(folders, whole, small_concepts):
    stimuli = small_concepts.stimuli()[:40]
    columns = {Site(layer): np.arange(0, 128, 9) for layer in range(LAYERS)}
    subject = shelved(folders, 1)
    for subjects in [(whole, subject)]:
        a, b = (read_columns(s, stimuli, range(40), columns, batch_tokens=64) for s in subjects)
        for site in columns:
            assert (a.sites[site].features != b.sites[site].features).nnz == 0
            assert a.tokens[site].equals(b.tokens[site])
    for position in ("last", "text"):
        a, b = (read_stimuli(s, stimuli, range(40), position=position, batch_tokens=64) for s in (whole, subject))
        assert list(a) == list(b)
        for site in a:
            assert (a[site].features != b[site].features).nnz == 0 and np.array_equal(a[site].dense, b[site].dense)


def test_examples_are_read_in_as_many_passes_as_saes_need_turns(folders, small_concepts, whole, monkeypatch):
    bank = ei.find_features(whole, small_concepts)
    expected = ei.top_examples(whole, bank, k=2, batch_tokens=128).to_frame()
    subject = shelved(folders, 2)
    counted = Counting(monkeypatch)
    assert ei.top_examples(subject, bank, k=2, batch_tokens=128).to_frame().equals(expected)
    # once to know them again, once to read
    assert counted.loads == 2 * LAYERS
    assert in_turns(subject.readers, subject.sites) == [subject.sites[i : i + 2] for i in (0, 2, 4)]
    assert in_turns(whole.readers, whole.sites) == [whole.sites]


def test_the_longest_unused_makes_room():
    made, shelf = [], SaeShelf(2)
    for key in "abacab":
        shelf.fetch(key, lambda key=key: made.append(key) or key)
    assert made == list("abcb") and len(shelf) == 2


def test_a_damaged_sae_is_refused_when_it_is_first_read(folders, tmp_path, root_tokenizer):
    sae = make_sae(0)
    sae.save_model(tmp_path / "a")
    cfg = json.loads((tmp_path / "a" / "cfg.json").read_text())
    (tmp_path / "a" / "cfg.json").write_text(json.dumps(cfg | {"d_sae": 64}))
    make_sae(1).save_model(tmp_path / "b")
    subject = ei.load_subject(folders[0], saes=tmp_path, load=ei.LoadOptions(resident=1))
    with pytest.raises(FileFormatError):
        read_units(subject, ["a word"], [0], position="end")


def test_short_memory_keeps_some_on_disk_and_says_so(folders, monkeypatch):
    import emotion_interp.subjects.shelf as module

    size = 4 * (2 * 32 + 2) * 128
    monkeypatch.setattr(module, "free_memory", lambda device: int(size * 2.5 / module.SHARE))
    with pytest.warns(UserWarning, match="2 of them stay in memory"):
        subject = ei.load_subject(folders[0], saes=folders[1])
    assert all(isinstance(r, ShelvedReader) and r.shelf.room == 2 for r in subject.readers.values())
    assert scarce(list(subject.readers.values())) and not scarce(list(subject.readers.values())[:2])


def test_an_sae_keeps_its_own_dtype_or_gets_the_one_asked_for(folders, tmp_path):
    sae = make_sae(2)
    sae.to(torch.bfloat16).save_model(tmp_path / "half")
    cfg = json.loads((tmp_path / "half" / "cfg.json").read_text())
    (tmp_path / "half" / "cfg.json").write_text(json.dumps(cfg | {"dtype": "bfloat16"}))
    for asked, dtype in (("own", torch.bfloat16), ("float32", torch.float32), (torch.float16, torch.float16)):
        subject = ei.load_subject(folders[0], saes=tmp_path, load=ei.LoadOptions(sae_dtype=asked))
        assert subject.saes[Site(2)].dtype == dtype
        assert subject.provenance.get("sae_dtype") == (
            None if asked == "float32" else str(asked).removeprefix("torch.")
        )
    exact = load_sae(tmp_path / "half")
    x = torch.randn(5, 32)
    assert torch.allclose(subject.readers[Site(2)].encode(x).float(), exact.encode(x), atol=0.02)
    with pytest.raises(ei.EmotionInterpError, match="overflow"):
        subject.readers[Site(2)].encode(x * 1e6)


def test_options_of_loading_are_refused_in_a_line_and_reach_transformers(folders):
    for wrong in ({"attn_implementation": "magic"}, {"sae_dtype": "int4"}):
        with pytest.raises(UnknownNameError):
            ei.LoadOptions(**wrong)
    for wrong in ({"resident": 0}, {"revision": "a b"}, {"trust_remote_code": "yes"}):
        with pytest.raises(ei.EmotionInterpError):
            ei.LoadOptions(**wrong)
    sdpa = ei.load_subject(folders[0], load=ei.LoadOptions(attn_implementation="sdpa"))
    assert sdpa.model.original_model.config._attn_implementation == "sdpa"
    assert sdpa.provenance["attn_implementation"] == "sdpa"


def test_a_model_that_accelerate_has_placed_reads_the_same(folders, whole):
    pytest.importorskip("accelerate")
    placed = ei.load_subject(folders[0], saes=folders[1], load=ei.LoadOptions(device_map={"": "cpu"}))
    a, b = (read_units(s, ["She wept at once"], [0], position="end") for s in (whole, placed))
    assert all(np.allclose(a[site].dense, b[site].dense, atol=1e-5) for site in a)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("limit", [0, 10**9])
def test_waiting_tokens_come_back_as_they_were(dtype, limit):
    waiting = WaitingTokens(limit)
    pieces = [torch.randn(n, 7).to(dtype) for n in (3, 1, 12)]
    for number, piece in enumerate(pieces):
        waiting.add(piece[:, :], number)
    for _ in range(2):
        found = list(waiting)
        assert [beside for _, beside in found] == [(0,), (1,), (2,)]
        assert all(torch.equal(a, b) and a.dtype == dtype for (a, _), b in zip(found, pieces, strict=True))


def test_free_memory_is_no_more_than_the_machine_has():
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < (free_memory() or 1) <= total

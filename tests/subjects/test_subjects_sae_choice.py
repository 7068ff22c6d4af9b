"""Choosing among the SAEs of a release: by width, l0 and ids; an ambiguous one is refused with its choices."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import emotion_interp as ei
from emotion_interp.core import EmotionInterpError, Site, UnknownNameError, UnsupportedError
from emotion_interp.subjects.sae_choice import SaeChoice, SaeEntry, choose_saes, l0_of
from emotion_interp.subjects.sae_facts import model_key, neuronpedia_link
from emotion_interp.subjects.sae_reader import REFUSED
from emotion_interp.subjects.sae_releases import release_names, release_of, releases_of_repo, width_in
from tests.conftest import SAELENS, make_sae

listed = pytest.mark.skipif(not SAELENS, reason="the list of releases is SAELens' own")


def chosen(release, layers=None, **choice):
    return [e.id for e in choose_saes(release, release_of(release).entries, layers, SaeChoice(**choice))]


@listed
@pytest.mark.parametrize(
    ("release", "layers", "choice", "expected"),
    [
        ("gemma-scope-2b-pt-res-canonical", [5], {"width": "65k"}, ["layer_5/width_65k/canonical"]),
        ("gemma-scope-2b-pt-res-canonical", [5], {"width": 16384}, ["layer_5/width_16k/canonical"]),
        ("gemma-scope-2b-pt-res", [0], {"width": "16k", "l0": "small"}, ["layer_0/width_16k/average_l0_13"]),
        ("gemma-scope-2b-pt-res", [0], {"width": "16k", "l0": 100}, ["layer_0/width_16k/average_l0_105"]),
        ("gemma-scope-2-1b-pt-res", [7], {"width": "65k", "l0": "medium"}, ["layer_7_width_65k_l0_medium"]),
        ("gemma-scope-2-1b-pt-res", [7], {"width": "65k", "l0": 1e6}, ["layer_7_width_65k_l0_big"]),
        ("gpt2-small-res-jb", [11], {}, ["blocks.11.hook_resid_pre", "blocks.11.hook_resid_post"]),
        ("llama_scope_lxr_8x", [3], {}, ["l3r_8x"]),
        ("gpt2-small-res-jb-feature-splitting", [8], {"width": "24k"}, ["blocks.8.hook_resid_pre_24576"]),
    ],
)
def test_width_l0_and_layers_name_the_sae(release, layers, choice, expected):
    assert chosen(release, layers, **choice) == expected


@listed
def test_ids_are_taken_as_they_stand_several_at_a_site_too():
    ids = ["layer_9/width_131k/canonical", "layer_9/width_16k/canonical"]
    assert chosen("gemma-scope-9b-it-res-canonical", [9], ids=ids) == ids
    with pytest.raises(UnknownNameError, match="layer_9/width_1k/canonical"):
        chosen("gemma-scope-9b-it-res-canonical", ids=["layer_9/width_1k/canonical"])
    with pytest.raises(EmotionInterpError, match="reads no layer"):
        chosen("gemma-scope-2b-pt-res", ids=["embedding/width_4k/average_l0_6"])


@listed
def test_several_widths_may_be_asked_for_at_once():
    found = chosen("gemma-scope-9b-it-res-canonical", [9, 20], width="16k,131k")
    assert sorted(found) == [f"layer_{layer}/width_{width}/canonical" for layer in (20, 9) for width in ("131k", "16k")]


@listed
@pytest.mark.parametrize(
    ("release", "layers", "choice", "message"),
    [
        ("gemma-scope-9b-it-res-canonical", [9], {}, r"2 SAEs at blocks\.9.*width \(16k, 131k\).*width_16k/canonical"),
        ("gemma-scope-2b-pt-res", [0], {"width": "16k"}, r"l0 \(13, 25, 46, 105, 226\).*layer_0/width_16k"),
        ("gemma-scope-2-1b-pt-res", [7], {"width": "16k"}, r"l0 \(small, medium, big\)"),
        ("llama_scope_r1_distill", [3], {}, r"3 SAEs at blocks\.3.*choose by ids.*l3r_800m_slimpajama"),
        ("gemma-scope-2b-pt-res-canonical", [5], {"width": "17k"}, r"width of .*'17k'"),
        ("gemma-scope-2-270m-pt-res-all", [0], {"width": "16k", "l0": "medium"}, r"l0 of .*'medium'.*small"),
        ("gemma-scope-9b-it-res-canonical", [3], {"width": "16k"}, r"layer of .* 3"),
        ("gpt2-small-resid-mid-v5-32k", [3], {"l0": 30}, r"does not say how many latents"),
    ],
)
def test_what_is_ambiguous_or_not_there_is_refused_in_one_line_with_the_choices(release, layers, choice, message):
    with pytest.raises(EmotionInterpError) as refused:
        chosen(release, layers, **choice)
    assert re.search(message, str(refused.value)), refused.value
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 900


@pytest.mark.parametrize("wrong", [{"l0": "tiny"}, {"l0": -1}, {"l0": 0}, {"width": 1.5}, {"ids": "one"}])
def test_a_choice_is_checked_where_it_is_made(wrong):
    with pytest.raises(EmotionInterpError):
        SaeChoice(**wrong)


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=12, unique=True), st.floats(0.5, 20_000))
def test_the_l0_nearest_to_a_number_is_taken(l0s, asked):
    entries = [SaeEntry(f"sae_{l0}", Site(0), "16k", float(l0)) for l0 in l0s]
    (taken,) = choose_saes("some", entries, None, SaeChoice(l0=asked))
    assert abs(taken.l0 - asked) == min(abs(l0 - asked) for l0 in l0s)


@listed
def test_every_release_lists_where_its_saes_read_or_says_why_it_cannot_be_read():
    for name in release_names():
        release = release_of(name)
        assert re.fullmatch(r"[\w.-]+/[\w.-]+|gpt2", release.model), name
        if release.refusal:
            assert release.refusal in REFUSED.values()
            continue
        nowhere = [entry.id for entry in release.entries if entry.site is None]
        assert all(id.startswith("embedding/") for id in nowhere), (name, nowhere[:2])
        assert len(nowhere) < len(release.entries)


@listed
def test_a_release_that_cannot_be_read_is_refused_before_anything_is_loaded():
    with pytest.raises(UnsupportedError, match="transcoder writes another site"):
        ei.load_subject("no/such-model", saes="gemma-scope-2b-pt-transcoders")
    with pytest.raises(UnsupportedError, match="temporal SAE"):
        ei.load_subject("no/such-model", saes="temporal-sae-gemma-2-2b")


@listed
def test_an_ambiguous_release_is_refused_before_the_model_is_read(gpt2, tokenizer, tmp_path):
    gpt2.save_pretrained(str(tmp_path))
    tokenizer.save_pretrained(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"no weights, which only reading them would show")
    with pytest.raises(EmotionInterpError, match="choose by width"):
        ei.load_subject(tmp_path, saes="gemma-scope-9b-it-res-canonical", layers=[9])


def test_a_choice_without_saes_to_choose_from_is_refused(gpt2, tokenizer, tmp_path):
    gpt2.save_pretrained(str(tmp_path))
    tokenizer.save_pretrained(str(tmp_path))
    with pytest.raises(EmotionInterpError, match="no saes="):
        ei.load_subject(tmp_path, choose=SaeChoice(width="16k"))
    with pytest.raises(EmotionInterpError, match="one by one"):
        ei.load_subject(tmp_path, saes=[make_sae(0)], choose=SaeChoice(width="16k"))


def test_a_folder_is_chosen_from_as_a_release_is(gpt2, tokenizer, tmp_path, capsys):
    gpt2.save_pretrained(str(tmp_path / "model"))
    tokenizer.save_pretrained(str(tmp_path / "model"))
    for width in (64, 128):
        make_sae(1, d_sae=width).save_model(tmp_path / "saes" / f"layer_1_{width}")
    both = ei.load_subject(tmp_path / "model", saes=tmp_path / "saes")
    assert both.sites == [Site(1, sae="128"), Site(1, sae="64")]
    with pytest.raises(EmotionInterpError, match="does not say how many latents"):
        ei.load_subject(tmp_path / "model", saes=tmp_path / "saes", choose=SaeChoice(l0="small"))
    one = ei.load_subject(tmp_path / "model", saes=tmp_path / "saes", choose=SaeChoice(width=64))
    assert [(str(site), reader.d_sae) for site, reader in one.readers.items()] == [("blocks.1.hook_resid_post", 64)]
    assert one.readers[Site(1)].provenance()["sae_id"] == "layer_1_64"
    assert "layer_1_64" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "width"),
    [("l0r_800m_slimpajama", ""), ("clt-gemma-2-2b-2.5M", ""), ("W64K-L0_50", "64k"), ("width_1m_l0_big", "1m")],
)
def test_a_width_is_read_from_names_and_no_other_number_is_taken_for_one(text, width):
    assert width_in(text) == width


def test_names_of_one_model_are_equal_and_of_two_are_not():
    assert model_key("google/gemma-3-1b-pt") == model_key("gemma-3-1b")
    assert model_key("gpt2-small") == model_key("gpt2")
    assert model_key("meta-llama/Meta-Llama-3-8B-Instruct") == model_key("llama-3-8b-instruct")
    assert model_key("google/gemma-2-2b") != model_key("google/gemma-2-2b-it")
    assert model_key("Qwen/Qwen3-1.7B") != model_key("Qwen/Qwen3-1.7B-Base")


@listed
def test_a_repository_is_known_by_its_releases():
    assert releases_of_repo("Qwen/SAE-Res-Qwen3-1.7B-Base-W32K-L0_50") == ("qwen-scope-3-1.7b-base-w32k-l50",)
    assert len(releases_of_repo("google/gemma-scope-2b-pt-res")) == 2
    assert releases_of_repo("google/gemma-scope-2b-pt") == ()


def test_a_page_of_neuronpedia_is_named_by_its_id():
    assert neuronpedia_link("gpt2-small/8-res-jb", 7) == "https://www.neuronpedia.org/gpt2-small/8-res-jb/7"
    assert l0_of("80") == 80.0

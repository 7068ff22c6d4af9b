"""Every family of releases in SAELens' directory by its name, through SAELens' own code, from a local cache of tiny files."""

from __future__ import annotations

import warnings

import pytest

import emotion_interp as ei
from emotion_interp.activations import read_tokens
from emotion_interp.core import EmotionInterpError, Site, UnsupportedError
from emotion_interp.subjects.sae_choice import SaeChoice
from emotion_interp.subjects.sae_releases import release_names, release_of
from tests.releases.cases import CASES, REFUSED
from tests.releases.cells import loaded, release_cells
from tests.releases.hub import hub_at
from tests.releases.layouts import as_json, old_saelens


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with hub_at(tmp_path_factory.mktemp("hub")) as made:
        yield made


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.release)
def test_a_release_loads_encodes_exactly_and_its_metadata_is_used(case, hub):
    cells = release_cells(case, hub)
    assert all(cell.startswith("yes") for cell in cells.values()), cells


def test_every_release_is_read_as_a_case_of_its_loader_and_site_is_or_refused_as_one_is():
    """170 releases come in a few layouts: none is without a case of the same loader at the same kind of site."""
    tried = {(release_of(case.release).loader, case.site.kind) for case in CASES}
    refused = {release_of(name).refusal for name in REFUSED}
    for name in release_names():
        release = release_of(name)
        kinds = {(release.loader, entry.site.kind) for entry in release.entries if entry.site is not None}
        assert release.refusal in refused if release.refusal else kinds <= tried, (name, kinds - tried)


@pytest.mark.parametrize("release", REFUSED)
def test_a_release_that_cannot_be_read_says_why_in_one_line(release):
    with pytest.raises(UnsupportedError) as refused:
        ei.load_subject("gpt2", saes=release)
    assert "\n" not in str(refused.value)
    assert "Use an SAE" in str(refused.value)


def of(release):
    return next(case for case in CASES if case.release == release)


def test_a_release_without_layers_is_an_error_or_gives_saes_and_never_a_bare_subject(hub):
    case = of("llama_scope_lxr_8x")
    subject = loaded(case, hub).subject
    assert subject.sites == [Site(1)]
    # the other 31 layers are not in the cache, and the model has two
    with pytest.raises(EmotionInterpError, match="l0r_8x"):
        ei.load_subject(case.model.hub, saes=case.release)


def test_an_sae_that_its_list_places_elsewhere_is_read_where_its_own_configuration_says(hub):
    case = of("pythia-70m-deduped-res-sm")
    files, _ = old_saelens("3-res-sm", "pythia-70m-deduped", "blocks.2.hook_resid_post", 32)
    hub.add_model(case.model)
    hub.add(release_of(case.release).repo, files)
    with pytest.warns(UserWarning, match=r"listed at blocks\.3\.hook_resid_post.*blocks\.2\.hook_resid_post"):
        ei.load_subject(case.model.hub, saes=case.release, choose=SaeChoice(ids=["blocks.3.hook_resid_post"]))


def test_a_release_of_another_model_is_said_in_one_line(hub):
    case = of("gemma-scope-2-270m-pt-res")
    made = loaded(case, hub)
    other = of("gemma-scope-2-4b-it-res").model
    hub.add_model(other)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ei.load_subject(other.hub, saes=case.release, layers=[5], choose=case.choose)
    said = [str(w.message) for w in caught if "another model" in str(w.message)]
    assert len(said) == 1
    assert "google/gemma-3-270m" in said[0]
    assert other.hub in said[0]
    assert not made.warned


def test_texts_longer_than_the_sae_was_trained_on_are_said_once(hub):
    made = loaded(of("gpt2-small-res-jb"), hub)
    text = "the letter said that she was coming home " * 60
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            read_tokens(made.subject, text)
    said = [str(w.message) for w in caught if "trained on texts of 128" in str(w.message)]
    assert len(said) == 1


def test_a_gemma_scope_2_sae_is_read_without_the_network_and_without_its_config(hub, monkeypatch):
    """SAELens asks the hub for the tensors' shapes; here nothing may ask anybody."""
    import requests

    def nobody(*args, **options):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(requests, "get", nobody)
    assert loaded(of("gemma-scope-2-270m-pt-res"), hub).subject.sites == [Site(5)]


def test_damaged_files_of_a_release_are_named(hub):
    case = of("gpt2-small-res_sce-ajt")
    hub.add_model(case.model)
    repo = release_of(case.release).repo
    hub.add(repo, {f"{case.path}/cfg.json": as_json({"d_in": 32}), f"{case.path}/sae_weights.safetensors": b"none"})
    with pytest.raises(EmotionInterpError, match="blocks.2.hook_resid_pre") as refused:
        ei.load_subject(case.model.hub, saes=case.release, layers=[2])
    assert "\n" not in str(refused.value)

"""Sites that share a hook point are told apart, and a site alone is what it always was."""

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotion_interp.core import KINDS, EmotionInterpError, Site, UnknownNameError, sites_at
from emotion_interp.core.types import BySite

SITES = st.builds(Site, st.integers(0, 40), st.sampled_from(KINDS), st.text("abcXYZ0159_-./:", max_size=12))


@settings(max_examples=25, deadline=None)
@given(SITES)
def test_a_site_is_read_back_from_its_name(site):
    assert Site.parse(str(site)) == site
    assert eval(repr(site)) == site
    assert str(site) == site.hook_name + (f"#{site.sae}" if site.sae else "")
    assert site.point == Site(site.layer, site.kind)
    assert pickle.loads(pickle.dumps(site)) == site


def test_a_site_without_an_sae_name_looks_as_before():
    assert repr(Site(3, "z")) == "Site(layer=3, kind='z')"
    assert str(Site(3, "z")) == "blocks.3.attn.hook_z"
    assert Site(3).point is not None
    assert len({Site(0), Site(0, sae="16k"), Site(0, sae="65k")}) == 3
    assert sorted([Site(0, sae="65k"), Site(1), Site(0)]) == [Site(0), Site(0, sae="65k"), Site(1)]


@pytest.mark.parametrize("name", ["a b", "a#b", "a|b", "a\n"])
def test_a_name_that_would_break_the_keys_of_a_bank_is_refused(name):
    with pytest.raises(EmotionInterpError, match="no '#'"):
        Site(0, sae=name)


def test_a_hook_name_with_an_empty_sae_is_refused():
    with pytest.raises(UnknownNameError, match="hook"):
        Site.parse("blocks.0.hook_resid_post#")


def test_a_layer_stands_for_all_its_sites_resid_post_first():
    known = [Site(1), Site(0, "mlp_out"), Site(0, sae="65k"), Site(0, "attn_out"), Site(0, sae="16k")]
    assert sites_at(known, 0) == [Site(0, sae="16k"), Site(0, sae="65k"), Site(0, "attn_out"), Site(0, "mlp_out")]
    assert sites_at(known, Site(0)) == [Site(0, sae="16k"), Site(0, sae="65k")]
    assert sites_at(known, "blocks.0.hook_resid_post#65k") == [Site(0, sae="65k")]
    assert sites_at(known, Site(0, "mlp_out")) == [Site(0, "mlp_out")]
    for wrong, kind in ((7, "layer"), (Site(1, "z"), "site"), ("blocks.0.hook_resid_post#1m", "site")):
        with pytest.raises(UnknownNameError, match=f"unknown {kind}"):
            sites_at(known, wrong)


def test_values_by_site_are_found_by_layer_and_hook_name():
    values = BySite({0: "post", Site(0, "mlp_out"): "mlp", "blocks.1.hook_resid_post#65k": "wide"})
    assert list(values) == [Site(0), Site(0, "mlp_out"), Site(1, sae="65k")]
    assert values[0] == values["blocks.0.hook_resid_post"] == "post"
    assert values[1] == values[Site(1)] == "wide"
    with pytest.raises(UnknownNameError, match="unknown layer"):
        values[2]
    with pytest.raises(EmotionInterpError, match="one site is named twice"):
        BySite({0: "a", Site(0): "b"})

"""Every family that the bridge opens: each cell holds, or is refused with a reason."""

import pytest
import transformers

from tests.backends import HOOKED
from tests.families.cells import CELLS, family_cells
from tests.families.zoo import FAMILIES, make_model, make_tokenizer

PROVED = tuple(int(n) for n in transformers.__version__.split(".")[:2]) < (5, 24)
"""Beyond our upper bound a family may be refused, but nothing may be wrong."""

REFUSED = {"Cohere", "Cohere, query-key norm", "Cohere2", "HunYuan", "PhiMoE", "Falcon, new decoder"}
"""Families that TransformerLens 3.9 cannot open, or for which its bridge computes something else than the model."""

ANOTHER_CACHE = {"OpenAI GPT", "Falcon, ALiBi", "MPT", "Mamba", "Mamba 2", "FalconMamba", "RecurrentGemma", "RWKV"}
if not HOOKED:
    # what TransformerLens 4.3 computes as the model does, and caches as it does
    REFUSED -= {"Cohere", "Cohere, query-key norm", "Cohere2", "HunYuan"}
    ANOTHER_CACHE -= {"Falcon, ALiBi", "MPT"}
ONE_LENGTH = {"RecurrentGemma", "RWKV"}


@pytest.fixture(scope="module")
def family_tokenizer():
    return make_tokenizer()


@pytest.mark.parametrize("family", FAMILIES)
def test_family(family, family_tokenizer):
    try:
        model = make_model(family, family_tokenizer)
    except ImportError as error:
        pytest.skip(str(error))
    cells = family_cells(model, family_tokenizer)
    assert list(cells) == list(CELLS)
    assert cells["untouched"] == "yes"
    if not PROVED:
        return
    assert cells["load"].startswith("refused") == (family in REFUSED), cells
    if family in REFUSED:
        return
    assert cells["cached"] == ("without cache" if family in ANOTHER_CACHE else "yes"), cells
    assert cells["batch"] == ("one length at a time" if family in ONE_LENGTH else "yes"), cells
    assert cells["uncached"] == "yes", cells
    # the kinds at a block's ends are everywhere, whatever is between them
    assert "resid_pre" not in cells["sites"].partition(":")[0], cells
    if family != "OpenAI GPT":
        assert cells["read"] == cells["steer"] == cells["chat"] == "yes", cells
        assert "resid_post" not in cells["sites"].partition(":")[0]
    else:
        assert cells["chat"].startswith("without steering: "), cells


def test_at_least_twenty_families_hold_in_every_cell():
    assert len(set(FAMILIES) - REFUSED - ANOTHER_CACHE) >= 20

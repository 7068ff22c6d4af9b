"""Adapters, quantised weights and other precisions: exact, or refused with a reason."""

import pytest

from tests.families.test_families_matrix import PROVED
from tests.families.variants import VARIANTS, variant_cells
from tests.families.zoo import make_tokenizer

EXACT = [n for n in VARIANTS if "LoRA" in n or "float" in n]


@pytest.mark.parametrize("variant", VARIANTS)
def test_variant(variant):
    try:
        cells = variant_cells(variant, make_tokenizer())
    except ImportError as error:
        pytest.skip(str(error))
    assert cells["untouched"] == "yes"
    if PROVED and variant in EXACT:
        assert [cells[c] for c in ("load", "read", "uncached", "cached")] == ["yes"] * 4, cells
        # in float64 the mask of transformers overflows on padding
        assert cells["batch"] == ("one length at a time" if "float64" in variant else "yes"), cells

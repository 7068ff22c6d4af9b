"""Whether a bank belongs to a subject: its name, its sites, and the SAEs there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.types import Site
from emotion_interp.subjects.sae_identity import same_encoder

if TYPE_CHECKING:
    from emotion_interp.bank.bank import FeatureBank
    from emotion_interp.subjects.subject import Subject


def require_same_subject(bank: FeatureBank, subject: Subject) -> None:
    """Refuse a bank of another subject or of other SAEs, whose feature numbers would mean something else.

    Raises:
        EmotionInterpError: another name, a site that the subject does not read, or an SAE with other decoder rows or
            another encoder than the one the bank was found with (banks of before those were noted are taken on trust).
    """
    name, sites = subject.name, subject.sites
    if bank.manifest.get("subject") != name:
        raise EmotionInterpError(f"the bank belongs to the subject {bank.manifest.get('subject')!r}, not to {name!r}.")
    missing = sorted(set(bank.sites) - set(sites))
    if missing:
        raise EmotionInterpError(
            f"the bank reads {missing[0]}, where this subject has no SAE; load the subject with that layer, and with as "
            f"many SAEs there as the bank was found with. It reads: {', '.join(map(str, sites)) or 'nothing'}."
        )
    for sae in bank.manifest.get("saes", ()):
        site = Site.parse(sae["site"]) if "signature" in sae else None
        if site not in bank.scales:
            continue
        reader = subject.readers[site]
        same = np.allclose(reader.signature(), sae["signature"], atol=0.01)
        if not same or ("encoder" in sae and not same_encoder(reader.encoder_signature(), sae["encoder"])):
            raise EmotionInterpError(
                f"the SAE at {site} is another one than the bank was found with: feature numbers mean something else. "
                "Load the SAEs of the bank, or find the features again."
            )

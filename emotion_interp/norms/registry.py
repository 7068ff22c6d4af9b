"""The norms that can be had: where they are published, under which licence, and what their files look like."""

from __future__ import annotations

from emotion_interp.norms.by_hand import BY_HAND
from emotion_interp.norms.entry import NormsEntry, NormsFile
from emotion_interp.norms.sentences import SENTENCES

_RAW = "https://raw.githubusercontent.com"
_XANEW = f"{_RAW}/JULIELab/XANEW"
_QUANTEDA = f"{_RAW}/MarianoRico/quanteda.sentiment"
_SEV = f"{_RAW}/Chuan-Peng-Lab/SEVproject"
_LABMT = f"{_RAW}/andyreagan/labMT-simple"
_VADER = f"{_RAW}/cjhutto/vaderSentiment"


_WARRINER_CITATION = (
    "Warriner, A. B., Kuperman, V., & Brysbaert, M. (2013). Norms of valence, arousal, and dominance for 13,915 English "
    "lemmas. Behavior Research Methods, 45, 1191-1207. doi:10.3758/s13428-012-0314-x"
)
_LABMT_CITATION = (
    "Dodds, P. S., et al. (2015). Human language reveals a universal positivity bias. PNAS, 112(8), 2389-2394. "
    "doi:10.1073/pnas.1411678112"
)
_LABMT_HASHES = {
    "english": (
        "75f642e641f608bdc04571ed82f4b7e4a0c1bd372ad39fef19e0f6275caa8451",
        "bd05d74cf25ce233831f7458a4cf6e31c9e61d0c3007f2b649443b5816b78098",
        "f5110265d3825e9ec29462e71623878e8f35ba9867c454dd79168b2a841352e2",
    ),
    "chinese": (
        "bb29b55e25ee52049e021e0f46da59583c2091154381fcf4dacbd016b400c7c1",
        "d3509c8bdff662e48ac7d7e86b642910a628d8ff1f59d4c6992ce3a31791a039",
        "70d69478d73d57771d441a523c916c7f6708ae8f5e5b31de18e4cd598636b1d2",
    ),
    "spanish": (
        "466a4a1a2bbce667077686baa55dd6b0a281b15cdbc88310e2f3086d6392ad05",
        "6f5c895cacfddb95d550f6910d69659b5d4344d293080f9241c8d2a523c708c3",
        "6c5679630beb976a0e25bd1305900bb270ba84d69591d3bc7dcff68e9914640f",
    ),
}


def _labmt(language: str, name: str, n_words: int) -> NormsEntry:
    stems = ("labMTwords", "labMTscores", "labMTscoresStd")
    # the commit at which the sibling files of the data folder are known to lie, then the branch
    places = ("33cd883d8e898b35dcd192a3910950b005f8df54", "master")
    files = tuple(
        NormsFile(
            f"{stem}-{name}.csv", digest, tuple(f"{_LABMT}/{p}/labMTsimple/data/{stem}-{name}.csv" for p in places)
        )
        for stem, digest in zip(stems, _LABMT_HASHES[name], strict=True)
    )
    return NormsEntry(
        f"labmt-{language}",
        language,
        ("valence",),
        n_words,
        (1, 9),
        "labmt",
        files,
        "CC BY-NC-SA 4.0",
        _LABMT_CITATION,
    )


_ENTRIES = (
    NormsEntry(
        "builtin",
        "en",
        ("valence", "arousal"),
        192,
        (1, 9),
        "builtin",
        (NormsFile("builtin.csv", ""),),
        "single figures from CC BY-NC-ND 3.0 norms",
        _WARRINER_CITATION,
    ),
    NormsEntry(
        "warriner",
        "en",
        ("valence", "arousal", "dominance"),
        13_915,
        (1, 9),
        "warriner",
        (
            NormsFile(
                "Ratings_Warriner_et_al.csv",
                "78ac8107c78e116bb96538fae4faa47281a155f5f8fe39f30bbc6ea3db05b446",
                (
                    f"{_XANEW}/b1ed97e746042e32dba7a833f9b702f35ffeceda/Ratings_Warriner_et_al.csv",
                    f"{_XANEW}/master/Ratings_Warriner_et_al.csv",
                ),
            ),
        ),
        "CC BY-NC-ND 3.0",
        _WARRINER_CITATION,
    ),
    NormsEntry(
        "stadthagen2017",
        "es",
        ("valence", "arousal"),
        10_491,
        (1, 9),
        "stadthagen",
        (
            NormsFile(
                "13428_2017_962_MOESM1_ESM.UTF8.csv",
                "7cf4a5c021e2d38e4a11dc25ef951e00453a10778326e79b6ed35718500a955a",
                tuple(
                    f"{_QUANTEDA}/{place}/sources/ANSW2018/13428_2017_962_MOESM1_ESM.UTF8.csv"
                    for place in ("e02e8dc7a328ee3ee5841404565cd707a671cdad", "master")
                ),
            ),
        ),
        "journal supplement",
        "Stadthagen-Gonzalez, H., Ferre, P., Perez-Sanchez, M. A., Imbault, C., & Hinojosa, J. A. (2018). Norms for "
        "10,491 Spanish words for five discrete emotions. Behavior Research Methods, 50, 1943-1952. "
        "doi:10.3758/s13428-017-0962-y; valence and arousal: Stadthagen-Gonzalez, Imbault, Perez Sanchez, & Brysbaert "
        "(2017), Behavior Research Methods, 49, 111-123. doi:10.3758/s13428-015-0700-2",
    ),
    NormsEntry(
        "hinojosa2016",
        "es",
        ("valence", "arousal"),
        875,
        (1, 9),
        "hinojosa",
        (
            NormsFile(
                "Hinojosa2016.xlsx",
                "ed2975af8ba5754ebeed524386f38e58d722892d6e98af226518ec78f5aa0c92",
                tuple(
                    f"{_QUANTEDA}/{place}/sources/ANSW2016/Hinojosa2016.xlsx"
                    for place in ("e5f5546109af1557d7c911d573acb1e53cadc74e", "master")
                ),
            ),
        ),
        "journal supplement",
        "Hinojosa, J. A., et al. (2016). Affective norms of 875 Spanish words for five discrete emotional categories and "
        "two emotional dimensions. Behavior Research Methods, 48, 272-284. doi:10.3758/s13428-015-0572-5",
    ),
    NormsEntry(
        "sev",
        "zh",
        ("valence",),
        1_040,
        (1, 9),
        "sev",
        (
            NormsFile(
                "SEV_wordlist.xlsx",
                "2305d3608e464c255da5fb17ee99d8b2ecef34d0e67954066cf3ffcc44588ecf",
                (
                    f"{_SEV}/d38408fb4e3847e09916da24ff626b5c23877b80/2_Study2_SEV%20database/SEV_wordlist.xlsx",
                    f"{_SEV}/e84202d8d1a8553814a72af9da4d2e25197edea8/2_Study2_SEV/SEV_wordlist.xlsx",
                ),
            ),
        ),
        "CC BY-NC-SA 4.0",
        "Chuan-Peng Lab, Social Evaluative Vocabulary (SEV) of Chinese words. github.com/Chuan-Peng-Lab/SEVproject",
    ),
    _labmt("en", "english", 10_222),
    _labmt("zh", "chinese", 10_000),
    _labmt("es", "spanish", 10_001),
    NormsEntry(
        "vader",
        "en",
        ("valence",),
        7_506,
        (-4, 4),
        "vader",
        (
            NormsFile(
                "vader_lexicon.txt",
                "ec636f884f36b5de6a4d681b2f61c08c2ec90eeb440472033f3307d0d6fa8bc9",
                tuple(
                    f"{_VADER}/{place}/vaderSentiment/vader_lexicon.txt"
                    for place in ("master", "0b8040fd23e0ba0a68ebf043697f087cd4c4d6c6")
                ),
            ),
        ),
        "MIT",
        "Hutto, C. J., & Gilbert, E. (2014). VADER: a parsimonious rule-based model for sentiment analysis of social "
        "media text. ICWSM-14.",
    ),
    *SENTENCES,
    *BY_HAND,
)

REGISTRY: dict[str, NormsEntry] = {entry.name: entry for entry in _ENTRIES}
"""Name -> entry of every registered set of norms."""

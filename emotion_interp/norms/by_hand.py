"""Norms that users bring themselves: their authors hand them out on request, or under terms to be accepted first.

They have no address here. But for CVAW 3 they have no hash either, and the number of words is the published one: the files
were not at hand when their readers were written, which follow the documented layout.
"""

from __future__ import annotations

from emotion_interp.norms.entry import NormsEntry, NormsFile

_NRC = "https://saifmohammad.com/WebPages/nrc-vad.html"
_ALL = ("valence", "arousal", "dominance")


def _nrc(version: str, file: str, n_words: int, scale: tuple[float, float], citation: str) -> NormsEntry:
    licence = "free for research, not to be passed on"
    name = f"nrc-vad-{version}"
    return NormsEntry(name, "en", _ALL, n_words, scale, "nrc-vad", (NormsFile(file, ""),), licence, citation, _NRC)


BY_HAND = (
    _nrc(
        "v1",
        "NRC-VAD-Lexicon.txt",
        20_007,
        (0, 1),
        "Mohammad, S. M. (2018). Obtaining reliable human ratings of valence, arousal, and dominance for 20,000 English "
        "words. ACL 2018. doi:10.18653/v1/P18-1017",
    ),
    _nrc(
        "v2",
        "NRC-VAD-Lexicon-v2.1.txt",
        55_000,
        (-1, 1),
        "Mohammad, S. M. (2025). NRC VAD Lexicon v2: norms for valence, arousal, and dominance for over 55k English "
        "terms. arXiv:2503.23547",
    ),
    NormsEntry(
        "anew",
        "en",
        _ALL,
        1_034,
        (1, 9),
        "anew",
        (NormsFile("anew.csv", ""),),
        "on request, for research",
        "Bradley, M. M., & Lang, P. J. (1999). Affective norms for English words (ANEW): instruction manual and "
        "affective ratings. Technical report C-1, University of Florida.",
        "https://csea.phhp.ufl.edu/media/anewmessage.html",
    ),
    NormsEntry(
        "glasgow",
        "en",
        _ALL,
        5_553,
        (1, 9),
        "glasgow",
        (NormsFile("glasgow.csv", ""),),
        "journal supplement",
        "Scott, G. G., Keitel, A., Becirspahic, M., Yao, B., & Sereno, S. C. (2019). The Glasgow Norms: ratings of 5,500 "
        "words on nine scales. Behavior Research Methods, 51, 1258-1270. doi:10.3758/s13428-018-1099-3",
        "https://doi.org/10.3758/s13428-018-1099-3",
    ),
    NormsEntry(
        "xu2022",
        "zh",
        ("valence", "arousal"),
        11_310,
        (-3, 3),
        "xu",
        (NormsFile("13428_2021_1607_MOESM1_ESM.csv", ""),),
        "journal supplement",
        "Xu, X., Li, J., & Chen, H. (2022). Valence and arousal ratings for 11,310 simplified Chinese words. Behavior "
        "Research Methods, 54, 26-41. doi:10.3758/s13428-021-01607-4",
        "https://doi.org/10.3758/s13428-021-01607-4",
    ),
    NormsEntry(
        "cvaw",
        "zh",
        ("valence", "arousal"),
        5_512,
        (1, 9),
        "cvaw",
        (NormsFile("CVAW.csv", ""),),
        "on request, for research",
        "Yu, L.-C., et al. (2016). Building Chinese affective resources in valence-arousal dimensions. NAACL 2016. "
        "aclanthology.org/N16-1066; Lee, L.-H., et al. (2022), Chinese EmoBank, ACM TALLIP 21(4)",
        "http://nlp.innobic.yzu.edu.tw/resources/ChineseEmoBank.html",
    ),
    NormsEntry(
        "cvaw3",
        "zh",
        ("valence", "arousal"),
        3_548,
        (1, 9),
        "cvaw3",
        (NormsFile("cvaw3.csv", "7b7c0ee626920a692f9d85d6ed063678166868ab874e405e18d6bbddfb66570b"),),
        "academic use, not to be passed on",
        "Yu, L.-C., et al. (2016). Building Chinese affective resources in valence-arousal dimensions. NAACL 2016. "
        "aclanthology.org/N16-1066 (CVAW 3.0)",
        "http://nlp.innobic.yzu.edu.tw/resources/cvaw.html",
    ),
)

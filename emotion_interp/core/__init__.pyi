from .errors import (
    EmotionInterpError as EmotionInterpError,
    FileFormatError as FileFormatError,
    NotFiniteError as NotFiniteError,
    UnknownNameError as UnknownNameError,
    UnsupportedError as UnsupportedError,
)
from .types import (
    KINDS as KINDS,
    WRITABLE_KINDS as WRITABLE_KINDS,
    Direction as Direction,
    Site as Site,
    Stimulus as Stimulus,
    sites_at as sites_at,
)

"""emotion_interp: which features of a language model carry emotion, how human its emotion space is, what they cause.

A plugin on TransformerLens and SAELens. Importing it loads no torch: every public name stands in `__init__.pyi` and is
fetched when first used.
"""

import warnings

import lazy_loader

__version__ = "0.1.0"

# the first library that draws bars warns, in red, at the top of every notebook whose kernel has no widgets
warnings.filterwarnings("ignore", message="IProgress not found")

__getattr__, _, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]


def __dir__() -> list[str]:
    return sorted(__all__)

"""One whole run: stages, resume, report. Its settings are read, and refused, before anything heavy is loaded."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

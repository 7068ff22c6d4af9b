"""What every room speaks: sites, directions, stimuli, errors, atomic files, seeds."""

import lazy_loader

# a command's --help wants the errors and not the numpy that directions need
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

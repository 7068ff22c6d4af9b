"""The tiny subjects of every backend."""

from tests.backends import *  # noqa: F403

"""websockets.exceptions."""

from aiows.exceptions import *  # noqa: F403

"""websockets.typing: names for annotations alone."""

from websockets.typing import *  # noqa: F403

from aiows.connection import Data as Data

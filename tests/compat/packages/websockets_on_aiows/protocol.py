"""websockets.protocol."""

from aiows.connection import State as State

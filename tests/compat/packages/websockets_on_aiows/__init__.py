"""What programs import from ``websockets``, client side, and get from aiows."""

from __future__ import annotations

from websockets import __version__ as __version__

from aiows import *  # noqa: F403
from aiows import ClientConnection as ClientConnection
from aiows import connect as connect

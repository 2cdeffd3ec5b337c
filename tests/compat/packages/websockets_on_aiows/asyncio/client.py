"""websockets.asyncio.client."""

from aiows.client import ClientConnection as ClientConnection
from aiows.client import connect as connect

"""websockets.http11."""

from aiows.http11 import Request as Request
from aiows.http11 import Response as Response

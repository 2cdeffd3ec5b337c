"""websockets.frames: what tests of servers write octets with is no matter of the client."""

from websockets.frames import Frame as Frame
from websockets.frames import Opcode as Opcode

from aiows.close_codes import Close as Close
from aiows.close_codes import CloseCode as CloseCode

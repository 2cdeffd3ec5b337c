"""websockets.extensions.permessage_deflate."""

from aiows.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory as ClientPerMessageDeflateFactory,
)

"""websockets.client: tests of servers write octets with the ClientProtocol, which opens nothing."""

from websockets.client import ClientProtocol as ClientProtocol

"""websockets.uri, for the ClientProtocol."""

from websockets.uri import parse_uri as parse_uri

"""websockets.extensions."""

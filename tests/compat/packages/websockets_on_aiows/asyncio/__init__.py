"""websockets.asyncio."""

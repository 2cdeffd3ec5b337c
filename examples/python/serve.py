import asyncio

from aiows import Request, Response, ServerConnection, serve


async def handler(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


def process_request(connection: ServerConnection, request: Request) -> Response | None:
    if request.path == "/health":
        return connection.respond(200, "fine\n")
    return None


async def main() -> None:
    async with serve(handler, "127.0.0.1", 0, process_request=process_request) as server:
        print(f"listening on ws://127.0.0.1:{server.port}", flush=True)
        await server.serve_forever()


asyncio.run(main())

"""A service that speaks WebSocket: says what it was asked, then echoes; `close` has it close with 4001.

    ws-python ws_server.py      prints its port
"""

import asyncio
import contextlib
import json

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


async def talk(socket):
    request = socket.request
    headers = [[name.lower(), value] for name, value in request.headers.raw_items()]
    await socket.send(json.dumps({"path": request.path, "headers": headers}))
    with contextlib.suppress(ConnectionClosed):
        async for message in socket:
            if message == "close":
                await socket.close(4001, "as you wish")
            else:
                await socket.send(message)


async def main():
    async with serve(talk, "127.0.0.1", 0, max_size=16 << 20) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


asyncio.run(main())

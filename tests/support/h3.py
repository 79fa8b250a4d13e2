"""An HTTP/3 client (aioquic): GETs each path in turn on one connection; one JSON line per answer.

Usage: h3.py HOST PORT PATH...; a PATH that begins with METHOD and a space uses that method.
"""

import asyncio
import hashlib
import json
import ssl
import sys

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, StreamReset


class Client(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.answers = {}

    def quic_event_received(self, event):
        if isinstance(event, ConnectionTerminated):
            for _, _, done in self.answers.values():
                if not done.done():
                    done.set_exception(ConnectionError(f"closed: {event.error_code} {event.reason_phrase}"))
            return
        if isinstance(event, StreamReset) and event.stream_id in self.answers:
            self.answers[event.stream_id][2].set_exception(ConnectionError(f"reset: {event.error_code}"))
            return
        for event in self.http.handle_event(event):
            headers, body, done = self.answers[event.stream_id]
            if isinstance(event, HeadersReceived):
                headers.extend((n.decode(), v.decode()) for n, v in event.headers)
            elif isinstance(event, DataReceived):
                body.extend(event.data)
            if event.stream_ended and not done.done():
                done.set_result(None)

    async def request(self, method, authority, path):
        stream = self._quic.get_next_available_stream_id()
        answer = self.answers[stream] = ([], bytearray(), asyncio.get_running_loop().create_future())
        head = {":method": method, ":scheme": "https", ":authority": authority, ":path": path}
        self.http.send_headers(stream, [(n.encode(), v.encode()) for n, v in head.items()], end_stream=True)
        self.transmit()
        await asyncio.wait_for(answer[2], 20)
        return answer


async def main(host, port, paths):
    quic = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, verify_mode=ssl.CERT_NONE)
    async with connect(host, int(port), configuration=quic, create_protocol=Client) as client:
        for path in paths:
            method, _, path = path.rpartition(" ")
            headers, body, _ = await client.request(method or "GET", f"{host}:{port}", path)
            headers = dict(headers)
            print(
                json.dumps(
                    {
                        "status": int(headers.pop(":status")),
                        "headers": headers,
                        "bytes": len(body),
                        "sha256": hashlib.sha256(body).hexdigest(),
                        "text": body.decode() if len(body) < 65536 and b"\0" not in body else None,
                    }
                ),
                flush=True,
            )


asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))

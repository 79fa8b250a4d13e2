# Takes webhooks and mail: prints its two ports, then a line of JSON for each message. The webhooks' secret is in the file
# that argv names; what checks it is the package of Standard Webhooks.
import email
import http.server
import json
import socket
import sys
import threading
from email.policy import default

from aiosmtpd.controller import Controller
from standardwebhooks.webhooks import Webhook, WebhookVerificationError


def tell(**told):
    print(json.dumps(told), flush=True)


class Hooks(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        judge = Webhook(open(sys.argv[1]).read().strip())
        told = judge.verify(body, dict(self.headers))
        try:
            judge.verify(body + " ", dict(self.headers))
            changed = "taken"
        except WebhookVerificationError:
            changed = "refused"
        tell(kind=told["type"], title=told["data"]["title"], changed=changed)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


class Mails:
    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=default)
        tell(to=envelope.rcpt_tos, subject=mail["subject"], text=mail.get_content())
        return "250 OK"


hooks = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hooks)
threading.Thread(target=hooks.serve_forever, daemon=True).start()
with socket.create_server(("127.0.0.1", 0)) as probe:
    port = probe.getsockname()[1]
Controller(Mails(), hostname="127.0.0.1", port=port).start()
print(hooks.server_port, port, flush=True)
sys.stdin.read()

"""Receives webhooks: verifies each message, forgets repetitions, prints what is new. Standard library only.

    python examples/python/webhook_receiver.py --port 8765 whsec_...

`verify` is what to take along; with the package `standardwebhooks` it is `Webhook(secret).verify(body, headers)`. While a secret
is being changed give both, in any order. Answer 2xx once a message is safe with you: whatever else is said, or said too late, it
comes again.
"""

import argparse
import json
import sys
import time
from base64 import b64decode, b64encode
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from hmac import compare_digest, digest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

# Older or newer messages are refused, so nobody can send one again that he has seen long ago.
TOLERANCE_S = 300
BODY_MAX = 1_000_000
REMEMBERED = 100_000


class NotVerified(Exception):
    """Nothing that the venue has sent, or not now."""


def verify(secrets: Iterable[str], headers: Mapping[str, str], body: bytes, now: float) -> str:
    """The id of a message. `headers` by their names in small letters. Raises NotVerified."""
    try:
        message_id, seconds = headers["webhook-id"], headers["webhook-timestamp"]
        sent = [part.partition(",")[2] for part in headers["webhook-signature"].split() if part.startswith("v1,")]
        age_s = abs(now - int(seconds))
    except (KeyError, ValueError):
        raise NotVerified("headers are missing") from None
    if age_s > TOLERANCE_S:
        raise NotVerified("too old, or the clocks differ")
    signed = f"{message_id}.{seconds}.".encode() + body
    for secret in secrets:
        right = b64encode(digest(b64decode(secret.removeprefix("whsec_")), signed, "sha256")).decode()
        if any(compare_digest(right.encode(), each.encode()) for each in sent):
            return message_id
    raise NotVerified("no signature is right")


class Inbox:
    """What came, once. A receiver that matters keeps the ids in its database, in the transaction that uses the message."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._lock = Lock()

    def is_new(self, message_id: str) -> bool:
        with self._lock:
            if message_id in self._seen:
                return False
            self._seen[message_id] = None
            if len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
            return True


def handler(secrets: Iterable[str], inbox: Inbox) -> type[BaseHTTPRequestHandler]:
    known = list(secrets)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("content-length", "0"))
            if length > BODY_MAX:
                self.send_error(413)
                return
            body = self.rfile.read(length)
            named = {name.lower(): value for name, value in self.headers.items()}
            try:
                message_id = verify(known, named, body, time.time())
            except NotVerified as error:
                self.send_error(401, str(error))
                return
            if inbox.is_new(message_id):
                sys.stdout.write(f"{message_id} {json.dumps(json.loads(body))}\n")
                sys.stdout.flush()
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  the library's name
            """Only messages are printed."""

    return Handler


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("secrets", nargs="+", help="whsec_...; several while one is being changed")
    parser.add_argument("--port", type=int, default=8765)
    given = parser.parse_args()
    server = ThreadingHTTPServer(("127.0.0.1", given.port), handler(given.secrets, Inbox()))
    sys.stderr.write(f"listening on http://127.0.0.1:{server.server_address[1]}/\n")
    server.serve_forever()


if __name__ == "__main__":
    main()

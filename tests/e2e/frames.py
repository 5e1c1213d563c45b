"""HTTP/2 by the frame, for what no client library would do."""

import socket
from collections.abc import Callable
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions

READ_BYTES = 65_536
WAIT_S = 20.0


class Frames:
    """A connection on which every frame is the test's own."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)
        # Without the library's own checks: the other end is what is tested.
        config = h2.config.H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False)
        self.inner = h2.connection.H2Connection(config)
        self.inner.initiate_connection()
        self.closed = False
        self.send()

    def send(self) -> None:
        """What is waiting, unless the other end has closed."""
        data = self.inner.data_to_send()
        if data and not self.closed:
            try:
                self.socket.sendall(data)
            except OSError:
                self.closed = True

    def events(self) -> list[Any]:
        """What comes next; nothing once the connection has ended."""
        try:
            data = self.socket.recv(READ_BYTES)
        except ConnectionError:
            data = b""
        if not data:
            self.closed = True
            return []
        found = self.inner.receive_data(data)
        self.send()
        return list(found)

    def until(self, wanted: Callable[[Any], bool]) -> Any:
        """The first event that is wanted. Raises AssertionError where the connection ends before."""
        while not self.closed:
            for event in self.events():
                if wanted(event):
                    return event
        raise AssertionError("the connection ended before")

    def settings(self) -> dict[int, int]:
        """What the other end said of itself."""
        seen = self.until(lambda event: isinstance(event, h2.events.RemoteSettingsChanged))
        return {int(name): change.new_value for name, change in seen.changed_settings.items()}

    def ask(self, path: str, *, end: bool = True, method: str = "GET") -> int:
        """Begin a request. Returns its stream; raises ProtocolError once the other end has said goodbye."""
        stream = self.inner.get_next_available_stream_id()
        head = [(":method", method), (":path", path), (":scheme", "http"), (":authority", "localhost")]
        self.inner.send_headers(stream, head, end_stream=end)
        self.send()
        return int(stream)

    def reset(self, stream: int) -> None:
        self.inner.reset_stream(stream, error_code=8)
        self.send()

    def close(self) -> None:
        self.socket.close()

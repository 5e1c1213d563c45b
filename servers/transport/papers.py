"""What a server of the venue shows the others and whom it believes, where they speak TLS to each other; and plain channels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from weakref import WeakSet

import grpc

# Every server of the venue has this name in its certificate, wherever it runs; who asks one checks for it.
INNER_NAME: Final = "venue.internal"
Options = Sequence[tuple[str, Any]]
# The channels of this process: gRPC has a thread that waits for its sockets while there is one.
channels: "WeakSet[grpc.aio.Channel]" = WeakSet()
# Told that there is one more.
on_channel: list[Callable[[], None]] = []


@dataclass(frozen=True, slots=True)
class Papers:
    """PEM bytes: the authority that is believed, the own certificate with what leads to that authority, and its key."""

    authority: bytes
    certificate: bytes
    key: bytes = field(repr=False)

    def to_ask(self) -> grpc.ChannelCredentials:
        return grpc.ssl_channel_credentials(self.authority, self.key, self.certificate)

    def to_answer(self) -> grpc.ServerCredentials:
        """Callers without papers of the same authority are turned away."""
        return grpc.ssl_server_credentials([(self.key, self.certificate)], self.authority, require_client_auth=True)


@dataclass(frozen=True, slots=True)
class Trust:
    """A server's own certificate, believed as it is, and a name in it: how the venue's commands know its gateway."""

    certificate: bytes
    name: str


def open_channel(target: str, options: Options, known: Papers | Trust | None) -> grpc.aio.Channel:
    """To another server of the venue by papers, to the gateway by trust; plain without either."""
    channel = _made(target, options, known)
    channels.add(channel)
    for tell in on_channel:
        tell()
    return channel


def _made(target: str, options: Options, known: Papers | Trust | None) -> grpc.aio.Channel:
    if known is None:
        return grpc.aio.insecure_channel(target, options=options)
    name = INNER_NAME if isinstance(known, Papers) else known.name
    named = [*options, ("grpc.ssl_target_name_override", name)]
    made = known.to_ask() if isinstance(known, Papers) else grpc.ssl_channel_credentials(known.certificate)
    return grpc.aio.secure_channel(target, made, options=named)

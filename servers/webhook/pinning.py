"""Connections to addresses that were looked at before, and to nothing else (addresses.py).

The client asks a resolver for what a host leads to; this one repeats what the attempt that is under way has found.
"""

import socket
from contextvars import ContextVar
from ipaddress import ip_address
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult

LOOKED_AT: Final[ContextVar[list[str]]] = ContextVar("addresses that were looked at for this attempt")


class Pinned(AbstractResolver):
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        del family
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in LOOKED_AT.get()
        ]

    async def close(self) -> None:
        """Nothing is held."""

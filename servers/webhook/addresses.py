"""Which addresses are posted to: public ones alone, whatever a name leads to (OWASP ASVS 13.2.4, 15.3.2).

A name is resolved once for an attempt, all that it leads to is looked at, and the connection is made to what was looked at: a
name that leads elsewhere a moment later gains nothing. The one exception is this machine itself, where a deployment for
development allows it.
"""

import asyncio
import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import urlsplit

from servers.webhook.errors import WebhookUrlRefused

# Addresses that hold another one, behind which a private one could hide: NAT64 (RFC 6052, 8215), 6to4, Teredo.
TUNNELS: Final = tuple(
    map(IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96", "fec0::/10"))
)


class AddressRefused(OSError):
    """A name that leads where nothing is posted to. The text names no address."""


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether everybody may be reached there."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if any(address in network for network in TUNNELS) or address.scope_id is not None:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def is_loopback(address: IPv4Address | IPv6Address) -> bool:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


class Guard:
    """Looks at addresses. `loopback`: this machine too, and without TLS there."""

    def __init__(self, *, loopback: bool) -> None:
        self._loopback = loopback

    def check_url(self, url: str) -> None:
        """What can be said of an address before anything is sent. Raises WebhookUrlRefused."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise WebhookUrlRefused("is not an address") from None
        if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
            raise WebhookUrlRefused("has characters that an address has not: encode them")
        if parts.scheme != "https" and not (self._loopback and parts.scheme == "http"):
            raise WebhookUrlRefused("must begin with https://")
        if not parts.hostname:
            raise WebhookUrlRefused("names no host")
        if "@" in parts.netloc:
            raise WebhookUrlRefused("must not hold a user or a password")
        if "#" in url:
            raise WebhookUrlRefused("must not have a fragment")
        if port == 0:
            raise WebhookUrlRefused("names no port")
        literal = literal_of(parts.hostname)
        # Numbers that are no address in its own notation are one in another: 2130706433, 127.1.
        numeric = parts.hostname.replace(".", "").isdigit() or parts.hostname.startswith("0x")
        if numeric if literal is None else not self._may(literal, parts.scheme):
            raise WebhookUrlRefused("must lead to a public address")

    async def resolve(self, host: str, port: int, scheme: str) -> list[str]:
        """What a host's name leads to, all of it looked at. Raises AddressRefused, OSError: it leads nowhere."""
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        if not addresses or not all(self._may(ip_address(address), scheme) for address in addresses):
            raise AddressRefused("the name does not lead to public addresses alone")
        return addresses

    def _may(self, address: IPv4Address | IPv6Address, scheme: str) -> bool:
        if self._loopback and is_loopback(address):
            return True
        return scheme == "https" and is_public(address)


def literal_of(host: str) -> IPv4Address | IPv6Address | None:
    """The address that a host is, where it is one and no name."""
    try:
        return ip_address(host)
    except ValueError:
        return None

"""One attempt: a message posted to an address, and what was answered.

Nothing that an endpoint does holds an attempt longer than its deadline or costs more memory than the client's buffer of 64 kB:
only an answer's head is looked at, redirects are not followed, the certificate is verified for the name that was given.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

from servers.webhook.addresses import AddressRefused, Guard
from servers.webhook.errors import WebhookUrlRefused
from servers.webhook.schedule import retry_after_s

if TYPE_CHECKING:
    from aiohttp import ClientSession

DEADLINE_S: Final = 15.0
SOCKETS_MAX: Final = 512
DEFAULT_PORTS: Final[Mapping[str, int]] = {"https": 443, "http": 80}
AGENT: Final = "venue-webhooks/1"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an attempt. `status` 0: there was no answer; `error` is empty where the message was taken."""

    status: int
    error: str = ""
    retry_after_s: float = 0.0

    @property
    def is_taken(self) -> bool:
        return not self.error

    @property
    def is_gone(self) -> bool:
        return self.status == HTTPStatus.GONE


class Poster:
    """Posts messages. Used as a context manager; `trust` is for tests, whose certificates no authority has signed."""

    def __init__(self, guard: Guard, *, deadline_s: float = DEADLINE_S, trust: ssl.SSLContext | None = None) -> None:
        self._guard = guard
        self._deadline_s = deadline_s
        self._trust = trust
        self._session: ClientSession | None = None

    async def __aenter__(self) -> Self:
        # Only the process that posts pays for it.
        from aiohttp import ClientSession, DummyCookieJar, TCPConnector

        from servers.webhook.pinning import Pinned

        connector = TCPConnector(
            # A connection is good for the address that was looked at for it, so none is kept for later.
            resolver=Pinned(), limit=SOCKETS_MAX, force_close=True, use_dns_cache=False,
            ssl=self._trust or ssl.create_default_context(),
        )  # fmt: skip
        self._session = ClientSession(
            connector=connector, cookie_jar=DummyCookieJar(), trust_env=False, auto_decompress=False
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session is not None
        await self._session.close()

    async def post(self, url: str, headers: Mapping[str, str], body: str) -> Answer:
        """Never raises for what an endpoint does."""
        from aiohttp import ClientError, ClientSSLError

        try:
            async with asyncio.timeout(self._deadline_s):
                return await self._post(url, headers, body)
        except TimeoutError:
            return Answer(0, "no answer in time")
        except (AddressRefused, WebhookUrlRefused) as error:
            return Answer(0, str(error))
        except ClientSSLError:
            return Answer(0, "the certificate or the TLS handshake is not good")
        except (ClientError, OSError, ValueError) as error:
            return Answer(0, f"no connection or no HTTP ({type(error).__name__})")

    async def _post(self, url: str, headers: Mapping[str, str], body: str) -> Answer:
        from servers.webhook.pinning import LOOKED_AT

        assert self._session is not None
        self._guard.check_url(url)
        parts = urlsplit(url)
        assert parts.hostname is not None, "the guard has seen one"
        port = parts.port or DEFAULT_PORTS[parts.scheme]
        LOOKED_AT.set(await self._guard.resolve(parts.hostname, port, parts.scheme))
        sent = {"content-type": "application/json", "user-agent": AGENT, **headers}
        async with self._session.post(url, data=body.encode(), headers=sent, allow_redirects=False) as response:
            # What follows the head is for nobody: the connection is closed with all of it that was not read.
            if 200 <= response.status < 300:
                return Answer(response.status)
            after = retry_after_s(response.headers.get("retry-after"), datetime.now(UTC))
            said = "it redirects" if 300 <= response.status < 400 else "it refused"
            return Answer(response.status, f"{said} with {response.status}", after)

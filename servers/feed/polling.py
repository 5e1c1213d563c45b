"""Sources that are asked again and again over HTTP: one client, bounded answers, and what their refusals mean."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx

from servers.feed.faults import Cause, SourceFault
from servers.feed.reading import BODY_MAX, read_json

CALL_S: Final = 10.0
_LIMITED: Final = {418, 429}


@asynccontextmanager
async def http_client(
    address: str, headers: Mapping[str, str], call_s: float
) -> AsyncGenerator[httpx.AsyncClient, None]:
    """A client of one source, whose calls take so long at most; the environment's proxies hold."""
    async with httpx.AsyncClient(base_url=address, headers=dict(headers), timeout=call_s) as client:
        yield client


async def get_json(client: httpx.AsyncClient, path: str, parameters: Mapping[str, str]) -> Any:  # noqa: ANN401
    """The JSON of an answer with success. Raises SourceFault."""
    # Of the call as a whole: a body that drips would outlast the client's own, which counts from one piece to the next.
    call_s = client.timeout.read
    try:
        async with asyncio.timeout(call_s), client.stream("GET", path, params=dict(parameters)) as answer:
            if answer.status_code in _LIMITED:
                raise SourceFault(Cause.LIMITED, f"HTTP {answer.status_code}", retry_after(answer))
            if answer.status_code != 200:
                raise SourceFault(Cause.REFUSED, f"HTTP {answer.status_code}", retry_after(answer))
            body = bytearray()
            async for piece in answer.aiter_bytes():
                body += piece
                if len(body) > BODY_MAX:
                    raise SourceFault(Cause.MALFORMED, f"more than {BODY_MAX} bytes")
    except (httpx.TimeoutException, TimeoutError):
        raise SourceFault(Cause.SILENT, f"no answer in {call_s} s") from None
    except httpx.DecodingError as error:
        raise SourceFault(Cause.MALFORMED, str(error)) from None
    except httpx.TransportError as error:
        raise SourceFault(Cause.UNREACHABLE, str(error) or type(error).__name__) from None
    return read_json(bytes(body))


def retry_after(answer: httpx.Response) -> float:
    """The seconds of a Retry-After, 0 where it says none (or a date)."""
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0.0

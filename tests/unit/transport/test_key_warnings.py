"""Keys that cannot be fetched are tried for often, and told of once."""

from structlog.testing import capture_logs

from servers.domain.errors import PartUnavailable
from servers.transport.identity import TokenVerifier


async def test_a_row_of_failures_is_one_line_and_the_next_row_another() -> None:
    away = True

    async def keys() -> dict[str, list[dict[str, str]]]:
        if away:
            raise PartUnavailable("the auth server")
        return {"keys": []}

    verifier = TokenVerifier(keys)
    with capture_logs() as lines:
        for _ in range(3):
            await verifier.fetch_keys()
        away = False
        await verifier.fetch_keys()
        away = True
        await verifier.fetch_keys()
    assert [line["event"] for line in lines] == ["keys not fetched", "keys not fetched"]

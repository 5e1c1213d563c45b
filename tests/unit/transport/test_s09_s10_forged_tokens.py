"""S09, S10: of ten thousand forged and damaged tokens none is believed, not even those that the venue's own key signed for
something else, and not the many ways to write one signature.
"""

from itertools import chain, islice

import pytest

from servers.transport.identity import TokenVerifier
from servers.transport.refusals import NotAuthenticated
from tests.unit.transport.conftest import Keys
from tests.unit.transport.forging import ALPHABET, Forger

COUNT = 10_000
SEED = 20_261_128


async def believed(verifier: TokenVerifier, token: str) -> bool:
    try:
        await verifier.verify(token)
    except NotAuthenticated:
        return False
    return True


@pytest.fixture
async def verifier_and_forger() -> tuple[TokenVerifier, Forger]:
    keys = Keys()
    verifier = TokenVerifier(keys.public)
    await verifier.fetch_keys()
    good = keys.token()
    assert await believed(verifier, good)
    return verifier, Forger(good, keys.private, SEED)


async def test_s09_none_of_ten_thousand_forged_tokens_is_believed(
    verifier_and_forger: tuple[TokenVerifier, Forger],
) -> None:
    verifier, forger = verifier_and_forger
    forged = chain(forger.unsigned(), (token for _, token in forger.missigned()), forger.damaged())
    tokens = list(islice(forged, COUNT))
    assert len(tokens) == COUNT
    assert len(set(tokens)) > COUNT / 2
    assert [token for token in tokens if await believed(verifier, token)] == []
    # The forger signs what is good with the same hand.
    assert await believed(verifier, forger.signed({"jti": "another"}))


async def test_s10_a_signature_is_written_in_one_way(verifier_and_forger: tuple[TokenVerifier, Forger]) -> None:
    verifier, forger = verifier_and_forger
    stem, last = forger.good[:-1], forger.good[-1]
    others = [stem + letter for letter in ALPHABET if letter != last]
    others += [forger.good + "=", forger.good + "==", stem + "\n" + last, stem + "!" + last, stem + " " + last]
    assert [token for token in others if await believed(verifier, token)] == []


async def test_s10_a_header_that_must_be_understood_and_a_time_to_come_are_refused(
    verifier_and_forger: tuple[TokenVerifier, Forger],
) -> None:
    verifier, forger = verifier_and_forger
    for token in (
        forger.signed({}, crit=["exp"]),
        forger.signed({}, crit=[]),
        forger.signed({"iat": forger.claims["iat"] + 60}),
        forger.signed({}, kid=None),
    ):
        assert not await believed(verifier, token)

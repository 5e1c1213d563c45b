"""Page tokens hold for the list, filter and caller they were made for."""

import base64

import pytest

from servers.transport.paging import PageTokens, page_size
from servers.transport.refusals import PageTokenInvalid

TOKENS = PageTokens(b"k" * 32)
SCOPE = ("ListOrders", "user-1", "demo-1", [2, 3], "BTC-USD")
TOKEN = TOKENS.issue(SCOPE, [17, "x"])


def flipped(token: str) -> str:
    return ("B" if token[0] == "A" else "A") + token[1:]


def test_a_token_gives_its_cursor_back() -> None:
    assert TOKENS.read(SCOPE, TOKEN) == [17, "x"]


def test_no_token_is_the_first_page() -> None:
    assert TOKENS.read(SCOPE, "") is None


def test_a_token_fits_the_contract() -> None:
    assert len(TOKENS.issue(SCOPE, [2**63, 2**63, "x" * 64])) <= 512


@pytest.mark.parametrize(
    "scope",
    [
        ("ListFills", *SCOPE[1:]),
        ("ListOrders", "user-2", *SCOPE[2:]),
        (*SCOPE[:4], "ETH-USD"),
        SCOPE[:4],
        ("ListOrders", "user-1", "demo-1[2, 3]", "", "BTC-USD"),
    ],
)
def test_a_token_of_another_list_caller_or_filter_is_refused(scope: tuple[object, ...]) -> None:
    with pytest.raises(PageTokenInvalid):
        TOKENS.read(scope, TOKEN)


@pytest.mark.parametrize(
    "token",
    [
        flipped(TOKEN),
        TOKEN[:-1],
        TOKEN + "A",
        "x",
        "not base64 !",
        "ä",
        "A" * 512,
        base64.urlsafe_b64encode(b"[1]").decode(),
        PageTokens(b"o" * 32).issue(SCOPE, [17, "x"]),
    ],
)
def test_a_forged_token_is_refused(token: str) -> None:
    with pytest.raises(PageTokenInvalid):
        TOKENS.read(SCOPE, token)


@pytest.mark.parametrize(("asked", "given"), [(0, 50), (1, 1), (500, 500), (501, 500), (10**9, 500)])
def test_page_sizes_are_bounded(asked: int, given: int) -> None:
    assert page_size(asked) == given

"""S01: eight characters suffice, nothing is demanded of their kinds, nothing is cut, and what is chosen often is refused.
S02: bcrypt sees every byte, and what is of an older scheme or cost is hashed anew.
"""

import unicodedata
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from hmac import digest

import bcrypt
import pytest
from zxcvbn.matching import RANKED_DICTIONARIES  # type: ignore[import-untyped]

from servers.auth.errors import PasswordTooWeak
from servers.auth.passwords import Passwords, is_often_chosen, words_of

CONTEXT = words_of("ada.lovelace@example.com", "Ada Byron")


@pytest.fixture(scope="module")
def passwords() -> Iterator[Passwords]:
    made = Passwords(pepper="pepper", cost=4, workers=2)
    yield made
    made.close()


def often_chosen(count: int) -> list[str]:
    """Passwords that are chosen most and long enough to be taken, the most frequent first."""
    ranked = RANKED_DICTIONARIES["passwords"]
    return [word for word in sorted(ranked, key=ranked.__getitem__) if len(word) >= 8][:count]


def test_s01_the_list_of_what_is_chosen_often_has_more_than_3000_and_letter_case_does_not_hide_one() -> None:
    assert len(RANKED_DICTIONARIES["passwords"]) >= 3000
    assert len(often_chosen(3000)) == 3000
    assert all(is_often_chosen(word) and is_often_chosen(word.upper()) for word in often_chosen(3000))
    assert not is_often_chosen("quiet harbour lantern")


async def test_s01_none_of_the_most_chosen_is_taken(passwords: Passwords) -> None:
    for word in often_chosen(60):
        for form in (word, word.title()):
            with pytest.raises(PasswordTooWeak):
                await passwords.refuse_weak(form, CONTEXT)


@pytest.mark.parametrize(
    "password",
    ["lovelace", "ada.lovelace", "ada.lovelace@example.com", "AdaByron", "Byron1815", "venuevenue", "example.com"],
)
async def test_s01_words_about_the_user_do_not_count_as_strength(passwords: Passwords, password: str) -> None:
    with pytest.raises(PasswordTooWeak) as refused:
        await passwords.refuse_weak(password, CONTEXT, field="new_password")
    assert [violation.field for violation in refused.value.violations] == ["new_password"]


@pytest.mark.parametrize(
    "password", ["kwzqvxjr", "ZQXJKVWP", "83016274", "~%&)=(+!", "x9 _lmZ?" * 8, "ø" * 3 + "åßğĸłŋþ"]
)
async def test_s01_eight_characters_of_any_one_kind_are_enough_and_64_are_not_too_many(
    passwords: Passwords, password: str
) -> None:
    await passwords.refuse_weak(password, CONTEXT)
    stored = await passwords.hash(password)
    assert await passwords.matches(password, stored)
    for other in (password[:-1], password + " ", " " + password, password.swapcase()):
        assert (await passwords.matches(other, stored)) == (other == password)


async def test_s02_what_bcrypt_is_given(passwords: Passwords) -> None:
    password = "cafe\u0301 💱" * 30
    prepared = b64encode(digest(b"pepper", unicodedata.normalize("NFC", password).encode(), sha256))
    assert (len(prepared), b"\0" in prepared) == (44, False)
    stored = await passwords.hash(password)
    scheme, _, text = stored.partition(":")
    assert scheme == "p1"
    assert bcrypt.checkpw(prepared, text.encode())


async def test_s02_two_passwords_of_100_bytes_that_differ_in_the_last_are_two(passwords: Passwords) -> None:
    one, other = "x" * 99 + "a", "x" * 99 + "b"
    assert not await passwords.matches(other, await passwords.hash(one))
    assert not await passwords.matches(one, await passwords.hash(other))


@pytest.mark.parametrize("password", ["x" * 10_000, "nul\0in the middle", "\0" * 8, "💱" * 64])
async def test_s02_no_password_is_too_much_for_it(passwords: Passwords, password: str) -> None:
    stored = await passwords.hash(password)
    assert await passwords.matches(password, stored)
    assert not await passwords.matches(password[:-1] + "y", stored)


@pytest.mark.parametrize("password", ["quiet harbour lantern", "💱" * 64, "nul\0inside"])
async def test_s02_a_hash_of_another_system_matches_and_is_outdated(passwords: Passwords, password: str) -> None:
    foreign = bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).decode()
    assert await passwords.matches(password, foreign)
    assert not await passwords.matches("x" + password[1:], foreign)
    assert passwords.is_outdated(foreign)
    assert not passwords.is_outdated(await passwords.hash(password))

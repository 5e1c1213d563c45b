"""Names as screening compares them, whatever letters they are in; and the digits that currencies have."""

from datetime import date

import pytest

from servers.domain.transfer_errors import AmountInvalid
from servers.funding.bank_transfer import BankTransfer
from servers.funding.create_deposit import amount_of
from servers.funding.screening import LISTED, MIXED, REVIEWED, UNCOMPARABLE, NameList, Subject, normal
from venue.funding.v1 import funding_pb2 as pb

TODAY = date(2026, 3, 1)
NAMES = NameList(["Ivan Łukasz-Listed", "Петр Списков", "  ", "---"])


async def score(name: str, names: NameList = NAMES) -> int:
    return (await names.screen(Subject(name=name), TODAY)).score


@pytest.mark.parametrize(
    "name",
    [
        "Ivan Łukasz-Listed", "IVAN LUKASZ LISTED", "Listed, Ïvan Lukasz", "Ivan  Lukasz\u00a0Listed", "Ｉｖａｎ Lukasz Listed",
        "Ivan Lukas Listed", "Петр Списков", "ПЁТР СПИСКОВ", "Списков Пётр",
    ],
)  # fmt: skip
async def test_acc7_a_listed_name_is_found_however_it_is_written(name: str) -> None:
    assert await score(name) == LISTED


@pytest.mark.parametrize("name", ["Ulla Berg", "Анна Иванова", "O'Neill Søren"])
async def test_acc7_a_name_that_is_not_listed_is_not_found(name: str) -> None:
    assert await score(name) == 0


@pytest.mark.parametrize(
    ("name", "found"),
    [
        # Latin letters and those of others that look like them.
        ("Ivаn Lukasz Listеd", LISTED),
        ("Ulla Bеrg", MIXED),
        # Letters that no name of the list is in.
        ("李小龍", UNCOMPARABLE),
        ("محمد", UNCOMPARABLE),
        # No letters at all.
        ("12345", UNCOMPARABLE),
    ],
)  # fmt: skip
async def test_acc7_a_name_that_nobody_can_compare_is_looked_at(name: str, found: int) -> None:
    assert await score(name) == found >= REVIEWED


async def test_without_a_list_there_is_nothing_to_compare_with() -> None:
    assert await score("李小龍", NameList([])) == 0


def test_acc7_two_people_whose_names_are_not_in_latin_letters_are_two() -> None:
    assert normal("Иван Петров") != normal("Мария Сидорова")
    assert normal("Петров, ИВАН") == normal("Иван Петров")
    assert normal("Weiß Łukasz Ørsted") == normal("weiss lukasz orsted")


@pytest.mark.parametrize(
    ("asset", "good", "wrong"), [("JPY", "100", "100.5"), ("USD", "100.05", "100.005"), ("KWD", "1.005", "1.0005")]
)
def test_a_bank_transfer_has_the_digits_of_its_currency(asset: str, good: str, wrong: str) -> None:
    bank = BankTransfer({"JPY": "one", "USD": "two", "KWD": "three"})
    assert amount_of(pb.CreateDepositRequest(asset=asset, amount=good), bank)
    with pytest.raises(AmountInvalid):
        amount_of(pb.CreateDepositRequest(asset=asset, amount=wrong), bank)

"""Mails in a browser of this machine, and what a user wants to be mailed (MSG-2)."""

import re
import secrets
from typing import Any

import httpx
import pytest

from tests.e2e.launching import Venue, eventually
from tests.e2e.people import PASSWORD, join
from tests.e2e.rest import Json
from tests.e2e.ways import Refused, Rest

PREFERENCES = "notify.v1.NotificationService"


def test_a_mail_is_shown_to_browsers_of_this_machine(venue: Venue, rest: Rest) -> None:
    person = join(rest, "reader")
    url = f"http://127.0.0.1:{venue.port('ADMIN')}/mailbox/"

    def listed() -> bool:
        return f"{person.email}: Verify your address" in httpx.get(url).text

    eventually(listed, "the mail is listed", within_s=60)
    index = httpx.get(url)
    assert index.headers["content-type"] == "text/html; charset=utf-8"
    name = index.text.partition(person.email)[0].rpartition("href='")[2].partition("'")[0]
    page = httpx.get(url + name)
    assert page.status_code == 200
    assert "verify-email" in page.text
    # A page of another name that was made to lead here, and the port of everybody.
    assert httpx.get(url, headers={"host": "evil.example"}).status_code in {401, 403, 404}
    assert "Mailbox" not in httpx.get(f"{venue.url}/mailbox/").text
    assert httpx.get(f"{url}%2e%2e/secrets/gateway").status_code in {400, 401, 403, 404}


def test_preferences_are_kept_and_security_is_not_one(rest: Rest) -> None:
    person = join(rest, "quiet")
    wanted: dict[str, Any] = {"preferences": [{"category": "CATEGORY_FUNDING", "mail": False}]}
    rest.call(f"{PREFERENCES}.UpdatePreferences", wanted, person.token)
    told = rest.call(f"{PREFERENCES}.GetPreferences", {}, person.token)["preferences"]
    assert {each["category"]: each["mail"] for each in told} == {
        "CATEGORY_SECURITY": True,
        "CATEGORY_FUNDING": False,
        "CATEGORY_INTEGRATION": True,
    }
    texts = {"preferences": [{"category": "CATEGORY_FUNDING", "mail": True, "sms": True}]}
    with pytest.raises(Refused) as refusal:
        rest.call(f"{PREFERENCES}.UpdatePreferences", texts, person.token)
    assert refusal.value.said == ("FAILED_PRECONDITION", "PHONE_NUMBER_UNCONFIRMED")
    for category, reason in (("SECURITY", "SECURITY_MAIL_REQUIRED"), ("UNSPECIFIED", "INVALID_FIELD")):
        asked = {"preferences": [{"category": f"CATEGORY_{category}", "mail": False}]}
        with pytest.raises(Refused) as refusal:
            rest.call(f"{PREFERENCES}.UpdatePreferences", asked, person.token)
        assert refusal.value.said == ("INVALID_ARGUMENT", reason)
    twice = {"preferences": wanted["preferences"] * 2}
    with pytest.raises(Refused):
        rest.call(f"{PREFERENCES}.UpdatePreferences", twice, person.token)
    assert rest.call(f"{PREFERENCES}.GetPreferences", {}, person.token)["preferences"] == told


def test_a_number_is_confirmed_by_its_code_and_told_what_its_user_wants(venue: Venue, rest: Rest) -> None:
    person = join(rest, "caller")
    url, number = f"http://127.0.0.1:{venue.port('ADMIN')}/mailbox/", f"+4670{secrets.randbelow(10**8):08d}"

    def subjects() -> list[str]:
        """Of what went to the number, the newest first."""
        return re.findall(f"{re.escape(number)}: ([^<]*)<", httpx.get(url).text)

    def ask(method: str, **request: object) -> Json:
        told: Json = rest.call(f"{PREFERENCES}.{method}", request, person.token)
        return told

    assert ask("SetPhoneNumber", phoneNumber=number)["phone"] == {"numberEnd": number[-3:], "confirmed": False}
    eventually(lambda: len(subjects()) == 1, "the code is sent", within_s=60)
    code = subjects()[0].rpartition(" ")[2]
    with pytest.raises(Refused) as refusal:
        ask("ConfirmPhoneNumber", code=f"{(int(code) + 1) % 10**6:06d}")
    assert refusal.value.said == ("INVALID_ARGUMENT", "PHONE_CODE_WRONG")
    assert ask("ConfirmPhoneNumber", code=code)["phone"]["confirmed"]
    ask("UpdatePreferences", preferences=[{"category": "CATEGORY_SECURITY", "mail": True, "sms": True}])
    changed = {"currentPassword": PASSWORD, "newPassword": "another horse battery 8"}
    rest.call("auth.v1.AuthService.ChangePassword", changed, person.token)
    eventually(lambda: "Your password was changed" in subjects(), "he is told by text, too", within_s=60)

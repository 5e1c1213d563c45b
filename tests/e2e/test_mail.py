"""Mails in a browser of this machine, and what a user wants to be mailed (MSG-2)."""

from typing import Any

import httpx
import pytest

from tests.e2e.launching import Venue, eventually
from tests.e2e.people import join
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
    for category, reason in (("SECURITY", "SECURITY_MAIL_REQUIRED"), ("UNSPECIFIED", "INVALID_FIELD")):
        asked = {"preferences": [{"category": f"CATEGORY_{category}", "mail": False}]}
        with pytest.raises(Refused) as refusal:
            rest.call(f"{PREFERENCES}.UpdatePreferences", asked, person.token)
        assert refusal.value.said == ("INVALID_ARGUMENT", reason)
    twice = {"preferences": wanted["preferences"] * 2}
    with pytest.raises(Refused):
        rest.call(f"{PREFERENCES}.UpdatePreferences", twice, person.token)
    assert rest.call(f"{PREFERENCES}.GetPreferences", {}, person.token)["preferences"] == told

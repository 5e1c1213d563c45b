"""The pure parts of webhooks: signatures, the schedule, which addresses are public."""

import random
from datetime import UTC, datetime
from ipaddress import ip_address

import pytest
from standardwebhooks import Webhook

from servers.webhook.addresses import AddressRefused, Guard, is_public
from servers.webhook.errors import WebhookUrlRefused
from servers.webhook.schedule import ATTEMPTS_MAX, SCHEDULE_S, retry_after_s, wait_s
from servers.webhook.signing import headers, new_secret, signature

# The vector that is published with the specification and its libraries.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE, SECONDS, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, '{"test": 2432232314}'


def test_s26_the_official_vector_is_met() -> None:
    assert signature(SECRET, MESSAGE, SECONDS, BODY) == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("body", ["", "{}", '{"a":"ü–漢"}', "x" * 70_000])
def test_s26_the_official_library_signs_the_same(body: str) -> None:
    secret, now = new_secret(), datetime.now(UTC)
    assert signature(secret, "msg_1", int(now.timestamp()), body) == Webhook(secret).sign("msg_1", now, body)


def test_s26_each_secret_of_an_overlap_verifies() -> None:
    old, new, now = new_secret(), new_secret(), int(datetime.now(UTC).timestamp())
    carried = headers([new, old], "msg_1", now, "{}")
    assert len(carried["webhook-signature"].split()) == 2
    for secret in (old, new):
        assert Webhook(secret).verify("{}", dict(carried)) == {}


def test_the_schedule_ends_after_three_days_and_its_waits_differ_by_chance() -> None:
    source = random.Random(7)
    waits = [wait_s(attempts, 0.0, source) for attempts in range(ATTEMPTS_MAX + 1)]
    assert waits[-1] is None
    for planned, wait in zip(SCHEDULE_S, waits[:-1], strict=True):
        assert wait is not None
        assert 0.9 * planned <= wait <= 1.1 * planned
    assert sum(SCHEDULE_S) == 5 + 300 + 1800 + 75 * 3600
    assert len({wait_s(2, 0.0, source) for _ in range(20)}) == 20


def test_whoever_asks_for_time_gets_it_up_to_a_day() -> None:
    source = random.Random(7)
    assert wait_s(1, 120.0, source) == 120.0
    assert wait_s(1, 1e9, source) == 86_400.0
    assert (wait_s(4, 1.0, source) or 0) > 6000


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0), ("", 0), ("17", 17), ("-5", 0), ("soon", 0), ("٣", 0),
        ("Sun, 01 Mar 2026 00:01:00 GMT", 60), ("Sat, 28 Feb 2026 00:00:00 GMT", 0), ("9" * 400, 999_999_999),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: int) -> None:
    assert retry_after_s(header, datetime(2026, 3, 1, tzinfo=UTC)) == seconds


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.8.8.8", "169.254.169.254", "172.16.0.1", "192.168.1.1",
        "192.0.2.1", "198.18.0.1", "203.0.113.9", "224.0.0.1", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::a00:1",
        "2002:a00:1::", "2001:0:1::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1",
        "fec0::1",
    ],
)  # fmt: skip
def test_s26_an_address_that_is_not_everybodys_is_not_posted_to(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:1.1.1.1"])
def test_an_address_that_is_everybodys_is(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/", "ftp://example.com/", "//example.com/", "example.com", "https://", "https:///x",
        "https://user@example.com/", "https://user:secret@example.com/", "https://example.com/#part",
        "https://example.com:0/", "https://example.com:99999/", "https://exa mple.com/", "https://exämple.com/",
        "https://example.com\\@10.0.0.1/", "https://127.0.0.1/", "https://[::1]/", "https://[::ffff:127.0.0.1]/",
        "https://169.254.169.254/latest/meta-data", "https://2130706433/", "https://127.1/", "https://0x7f000001/",
        "https://[fe80::1%25eth0]/", "https://[/", "https://example.com/\r\nx: y", "http://[::ffff:127.0.0.1]/",
        "https://0177.0.0.1/", "https://017700000001/", "https://[::ffff:7f00:1]/", "https://[::127.0.0.1]/", "https://0/",
        "https://[64:ff9b::7f00:1]/", "https://１２７.0.0.1/", "https://127。0。0。1/",
    ],
)  # fmt: skip
def test_s26_an_url_that_could_lead_inside_is_refused(url: str) -> None:
    with pytest.raises(WebhookUrlRefused):
        Guard(loopback=False).check_url(url)


def test_an_url_that_leads_outside_is_taken() -> None:
    Guard(loopback=False).check_url("https://example.com:8443/hooks?for=venue")


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "0", "2130706433", "127.1", "127.0x0.0.1", "0x7f.1", "::ffff:127.0.0.1"]
)
async def test_s26_a_name_that_leads_inside_is_refused_when_it_is_resolved(host: str) -> None:
    with pytest.raises(AddressRefused):
        await Guard(loopback=False).resolve(host, 443, "https")


async def test_this_machine_alone_is_allowed_to_developers() -> None:
    guard = Guard(loopback=True)
    assert await guard.resolve("127.0.0.1", 80, "http") == ["127.0.0.1"]
    with pytest.raises(AddressRefused):
        await guard.resolve("10.0.0.1", 443, "https")
    with pytest.raises(AddressRefused):
        await guard.resolve("1.1.1.1", 80, "http")

"""Others guess at a password: the desk is asked once a minute for an address, and again where it did not take it."""

from typing import Any

from db.audit import Actor, ActorKind
from db.outgoing import Letter
from servers.auth.unlock_login import PAUSE_S, Alarm
from servers.domain.errors import Overloaded
from servers.domain.letters import Template

ACTOR = Actor(ActorKind.NOBODY)


class Desk:
    """Takes on what it is told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.is_full = False

    async def ask(self, template: Template, email: str, _actor: Actor) -> None:
        assert template is Template.LOGIN_GUESSED
        if self.is_full:
            raise Overloaded(1.0)
        self.asked.append(email)


async def test_a_flood_asks_once_a_minute_for_an_address() -> None:
    desk, now = Desk(), [0.0]
    box: Any = desk
    alarm = Alarm(box, clock=lambda: now[0])
    for email in ("ada@example.com", "ADA@example.com", "bob@example.com", "ada@example.com"):
        await alarm.ring(email, ACTOR)
    assert desk.asked == ["ada@example.com", "bob@example.com"]
    now[0] += PAUSE_S
    await alarm.ring("ada@example.com", ACTOR)
    assert desk.asked[2:] == ["ada@example.com"]


async def test_what_the_desk_did_not_take_is_asked_again() -> None:
    desk = Desk()
    box: Any = desk
    alarm = Alarm(box, clock=lambda: 0.0)
    desk.is_full = True
    await alarm.ring("ada@example.com", ACTOR)
    desk.is_full = False
    await alarm.ring("ada@example.com", ACTOR)
    assert desk.asked == ["ada@example.com"]


def test_neither_address_nor_token_is_printed() -> None:
    letter = Letter("ada@example.com", Template.VERIFY_EMAIL, {"token": "vvt_x"})
    assert "ada" not in repr(letter)
    assert "vvt" not in repr(letter)

"""Events as plain values, taken before the next command changes what they point to; and runs of traffic that keep them."""

from dataclasses import fields
from typing import Any, NamedTuple

from servers.domain import commands as c
from servers.domain.errors import VenueError
from servers.domain.events import Event
from servers.domain.exchange import Exchange
from servers.domain.model import (
    Account,
    Asset,
    Balance,
    Fees,
    Limits,
    Market,
    Order,
    Position,
    Request,
    TradingSession,
    Transfer,
)
from servers.domain.state import row
from tests.property.traffic import Traffic

_MODEL = (Account, Asset, Balance, Fees, Limits, Market, Order, Position, Request, TradingSession, Transfer)
Plain = tuple[str, tuple[Any, ...]]


def plain(event: Event) -> Plain:
    """The event's class and its fields, things as their stored rows."""
    values = (getattr(event, f.name) for f in fields(event))
    return type(event).__name__, tuple(row(value) if isinstance(value, _MODEL) else value for value in values)


class Done(NamedTuple):
    """A command and what it caused: events, or the reason of its refusal."""

    command: c.Command
    events: list[Plain]
    refusal: str


def perform(exchange: Exchange, command: c.Command) -> Done:
    """Execute a command and keep what it caused."""
    try:
        return Done(command, [plain(event) for event in exchange.execute(command)], "")
    except VenueError as refused:
        return Done(command, [], refused.reason)


def drive(exchange: Exchange, traffic: Traffic, commands: int) -> list[Done]:
    """So many commands of the traffic."""
    done = []
    traffic.alive = exchange.floor.orders
    for _ in range(commands):
        one = perform(exchange, traffic.next())
        if one.refusal:
            traffic.refused()
        done.append(one)
    return done

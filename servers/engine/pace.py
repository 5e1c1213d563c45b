"""How many orders and cancels a second an account may send: counted where the account and its tier are known.

Every command of a customer counts once, an item of a batch or session like a call of its own; cancels are counted apart, so that
orders never stand in their way. What is turned away was not executed.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from servers.domain.errors import VenueError
from servers.domain.exchange import Exchange
from servers.domain.identifiers import find_order
from servers.domain.model import Account
from servers.engine.batch import Outcome
from servers.transport.limits import Bucket, Rate, Use
from venue.engine.v1 import engine_pb2 as pb
from venue.option.v1 import access_pb2

# An account may cancel so many times as often as it may order.
CANCELS: Final = 10
ORDERS: Final[int] = access_pb2.BUCKET_ORDER
CANCELLED: Final[int] = access_pb2.BUCKET_CANCEL
_ORDERS: Final = frozenset({"place_order", "place_oco", "amend_order", "replace_order"})
_CANCELS: Final = frozenset({"cancel_order", "cancel_all_orders"})


class Pace:
    """The rates of a partition's accounts: by tier, and for tiers that are not named, by environment."""

    def __init__(self, rates: Mapping[str, Rate]) -> None:
        self._orders = {name: Bucket("ACCOUNT_ORDER", rate) for name, rate in rates.items()}
        self._cancels = {
            name: Bucket("ACCOUNT_CANCEL", Rate(rate.per_s * CANCELS, rate.burst * CANCELS))
            for name, rate in rates.items()
        }

    def turn_away(self, exchange: Exchange, commands: Sequence[pb.Command], known: dict[int, Outcome]) -> None:
        """Put a refusal into `known` for each command that comes too soon; those known already do not count."""
        accounts = exchange.ledger.accounts
        for index, command in enumerate(commands):
            kind = command.WhichOneof("body")
            buckets = self._orders if kind in _ORDERS else self._cancels if kind in _CANCELS else None
            if buckets is None or not command.user_id or index in known:
                continue
            if kind == "place_order":
                # Nearly all: what `_account` would find.
                account = accounts.get(command.place_order.account_id)
            else:
                account = _account(exchange, getattr(command, kind or ""))
            if account is None or account.user_id != command.user_id:
                # It is refused for that.
                continue
            bucket = buckets.get(account.tier) or buckets.get(exchange.environment.name)
            try:
                if bucket is not None:
                    bucket.take(account.account_id, 2 if kind == "place_oco" else 1)
            except VenueError as refusal:
                known[index] = refusal

    def uses(self, exchange: Exchange, user_id: str, account_id: str) -> Iterator[tuple[int, str, Use]]:
        """What is left to the accounts of a user, or to the one named."""
        for account in list(exchange.ledger.by_user.get(user_id, ())):
            if account_id and account.account_id != account_id:
                continue
            for number, buckets in ((ORDERS, self._orders), (CANCELLED, self._cancels)):
                bucket = buckets.get(account.tier) or buckets.get(exchange.environment.name)
                if bucket is not None:
                    yield number, account.account_id, bucket.use(account.account_id)


def _account(exchange: Exchange, body: object) -> Account | None:
    """The account that a command is for."""
    placed = getattr(body, "orders", None) or [getattr(body, "order", body)]
    account = exchange.ledger.accounts.get(getattr(placed[0], "account_id", ""))
    if account is None:
        found = find_order(getattr(body, "order_id", ""))
        order = exchange.floor.orders.get(found[1]) if found else None
        account = None if order is None else order.account
    return account

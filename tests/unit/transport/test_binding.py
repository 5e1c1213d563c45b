"""A key that is bound to one account names no other, however deep, and finds orders by their ids in that account alone (S14)."""

import pytest

from servers.domain.errors import AccountNotFound
from servers.transport.binding import bind, names_account
from tests.contract.descriptors import methods
from venue.account.v1 import account_pb2
from venue.order.v1 import order_service_pb2 as pb

MINE, OTHER = "demo-1", "demo-2"


def test_s14_an_empty_account_becomes_the_keys_own() -> None:
    named = pb.CancelOrdersRequest(
        cancels=[pb.CancelOrderRequest(order_id="2-7"), pb.CancelOrderRequest(account_id=MINE)]
    )
    bind(named, MINE)
    assert [each.account_id for each in named.cancels] == [MINE, MINE]
    replace = pb.ReplaceOrderRequest(order_id="2-7", order=pb.PlaceOrderRequest())
    bind(replace, MINE)
    assert replace.order.account_id == MINE
    untouched = pb.ReplaceOrderRequest(order_id="2-7")
    bind(untouched, MINE)
    assert not untouched.HasField("order")


@pytest.mark.parametrize(
    "request_",
    [
        pb.PlaceOrderRequest(account_id=OTHER),
        pb.PlaceOrdersRequest(orders=[pb.PlaceOrderRequest(account_id=MINE), pb.PlaceOrderRequest(account_id=OTHER)]),
        pb.PlaceOcoRequest(orders=[pb.PlaceOrderRequest(account_id=OTHER)]),
        pb.PreviewOrderRequest(order=pb.PlaceOrderRequest(account_id=OTHER)),
        pb.TradeRequest(commands=[pb.TradeCommand(start=pb.TradeStart(account_id=OTHER))]),
        pb.TradeRequest(commands=[pb.TradeCommand(cancel=pb.CancelOrderRequest(account_id=OTHER))]),
        pb.StreamOrdersRequest(account_id=OTHER),
        account_pb2.CreateTransferRequest(from_account_id=MINE, to_account_id=OTHER),
        account_pb2.CreateTransferRequest(from_account_id=OTHER, to_account_id=MINE),
    ],
    ids=lambda request_: type(request_).__name__,
)
def test_s14_another_account_is_not_there(request_: pb.PlaceOrderRequest) -> None:
    with pytest.raises(AccountNotFound):
        bind(request_, MINE)


def test_every_method_of_orders_is_held_to_an_account() -> None:
    orders = {name: method for name, method in methods().items() if name.startswith("venue.order.")}
    assert [name for name, method in orders.items() if not names_account(method.input_type)] == []

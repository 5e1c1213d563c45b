"""The list of checks, and a run through it. Every check stands alone: a broken one does not keep the others from being asked."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final, NamedTuple

import grpc
import httpx

from servers.conformance import edge, people, streaming, trading
from servers.conformance.visit import Broken, Visit

# The slowest: a refused log-in, a stream.
CHECK_S: Final = 40.0
Probe = Callable[[Visit], Awaitable[None]]


class Check(NamedTuple):
    """A sentence of the contract, and how it is asked."""

    area: str
    says: str
    probe: Probe


class Result(NamedTuple):
    """`why` is empty where the contract is kept."""

    check: Check
    why: str


CHECKS: Final[Sequence[Check]] = (
    Check("people", "Register answers a known address as a new one", people.register_tells_nothing),
    Check("people", "Login answers a Bearer token that says who one is", people.login_answers_tokens),
    Check("people", "a wrong password is 401 CREDENTIALS_INVALID", people.a_wrong_password_is_refused),
    Check(
        "people",
        "a refresh changes the token, and a repeat answers alike",
        people.a_refresh_is_answered_alike_for_a_moment,
    ),
    Check("people", "without a token: 401 UNAUTHENTICATED", people.without_a_token_nothing_is_shown),
    Check("people", "the public keys are published, and nothing private", people.keys_are_published),
    Check("orders", "a limit order rests, and is found by its label", trading.an_order_rests),
    Check("orders", "the same request_id again is the same order", trading.a_repeated_request_is_answered_once),
    Check("orders", "reads wait for min_position; holds are to the digit", trading.what_is_placed_is_read),
    Check("orders", "decimals are plain; others are refused by field", trading.decimals_are_plain),
    Check("orders", "a price off the tick is rejected, not rounded", trading.off_tick_is_rejected_not_rounded),
    Check("orders", "an order beyond funds is OK with status REJECTED", trading.too_much_is_rejected),
    Check("orders", "a second cancel is FAILED_PRECONDITION", trading.a_closed_order_stays_closed),
    Check("orders", "unknown orders and markets are NOT_FOUND", trading.what_is_not_yours_is_not_there),
    Check("orders", "pages hold everything once", trading.pages_hold_everything_once),
    Check(
        "streams", "orders are told in a chain, and replayed after a position", streaming.orders_are_told_and_replayed
    ),
    Check("streams", "a position of nowhere is POSITION_INVALID", streaming.a_position_of_nowhere_is_refused),
    Check("streams", "books begin with a snapshot and have their checksum", streaming.books_have_their_checksum),
    Check("streams", "Server-Sent Events over REST", streaming.events_come_over_rest),
    Check("edge", "gRPC and REST refuse with the same details", edge.grpc_says_what_rest_says),
    Check("edge", "unknown query parameters are refused", edge.unknown_parameters_are_refused),
    Check("edge", "limits are told in headers", edge.limits_are_told),
    Check("edge", "request ids are the edge's own", edge.requests_have_ids_of_the_edge),
    Check("edge", "CORS: pages of other origins may not read", edge.other_pages_may_not_read),
    Check("edge", "answers are JSON and nosniff", edge.answers_are_what_they_say),
    Check("edge", "health over HTTP and gRPC", edge.it_is_healthy),
    Check("edge", "reflection describes the services", edge.it_describes_itself),
    Check("edge", "the engine's own service is not routed", edge.the_engine_is_not_reached),
)


async def run(visit: Visit, checks: Sequence[Check] = CHECKS) -> AsyncIterator[Result]:
    """Each check's result as it comes. Raises Broken where nobody can log in or open an account: then nothing can be asked."""
    await visit.prepare()
    for check in checks:
        yield Result(check, await asked(visit, check))


async def asked(visit: Visit, check: Check) -> str:
    """Why it is broken, or nothing."""
    try:
        async with asyncio.timeout(CHECK_S):
            await check.probe(visit)
    except Broken as broken:
        return str(broken)
    except TimeoutError:
        return "no answer in time"
    except grpc.aio.AioRpcError as error:
        return f"{error.code().name}: {error.details()}"
    except httpx.HTTPError as error:
        return f"{type(error).__name__}: {error}"
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        # What came has not the contract's shape.
        return f"an answer without the contract's shape: {error!r}"
    return ""

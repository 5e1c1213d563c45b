"""What happens to accounts reaches endpoints: signed, in order, at least once, whatever endpoints do (MSG-1, F25, S26)."""

import asyncio
import json
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web

from servers.embedded.certificates import self_signed
from servers.webhook.addresses import Guard
from servers.webhook.posting import DEADLINE_S
from servers.webhook.schedule import ATTEMPTS_MAX, SCHEDULE_S
from tests.integration.webhook.conftest import BALANCE, FILLED, Hooks, balance, eventually, filled
from venue.engine.v1 import engine_pb2
from venue.order.v1 import order_pb2
from venue.webhook.v1 import webhook_pb2 as pb

PENDING, SUCCEEDED, DEAD = pb.DELIVERY_STATE_PENDING, pb.DELIVERY_STATE_SUCCEEDED, pb.DELIVERY_STATE_DEAD


async def test_a_filled_order_is_told_signed_and_with_the_fields_that_were_promised(hooks: Hooks) -> None:
    receiver = await hooks.receiver()
    _, secret = await hooks.endpoint(receiver.url)
    async with hooks.working():
        sequence = await hooks.happens()
        await eventually(lambda: len(receiver.came) == 1)
    told = receiver.verified(secret)
    assert told["type"] == "order_filled"
    data = told["data"]
    assert (data["orderId"], data["symbol"], data["filledQty"], data["avgPrice"]) == (
        f"2-{sequence}", "ETH-USD", "1.5", "1999.5",
    )  # fmt: skip
    assert data["timestamp"] == told["timestamp"]
    assert abs((datetime.fromisoformat(told["timestamp"]) - datetime.now(UTC)).total_seconds()) < 300
    assert (data["accountId"], data["sequence"], data["previousSequence"]) == ("demo-a", str(sequence), "0")
    assert receiver.ids == [f"msg_2-{sequence}-0-0"]


async def test_each_endpoint_is_told_what_it_asked_for_of_its_own_accounts_in_order(hooks: Hooks) -> None:
    all_of_it, one = await hooks.receiver(), await hooks.receiver()
    await hooks.endpoint(all_of_it.url, FILLED, BALANCE)
    await hooks.endpoint(one.url, BALANCE, account_id="demo-b")
    async with hooks.working():
        for number in range(30):
            await hooks.happens(
                "demo-a", orders=[filled(hooks.sequence + 1, "demo-a")], balances=[balance(str(number))]
            )
        last = await hooks.happens("demo-b", balances=[balance("7")])
        await hooks.happens("demo-c", balances=[balance("9")])
        await eventually(lambda: len(all_of_it.came) == 61 and len(one.came) == 1)
    assert one.ids == [f"msg_2-{last}-0-0"]
    of_a = [told for told in all_of_it.ids if told != f"msg_2-{last}-0-0"]
    assert of_a == [f"msg_2-{sequence}-0-{part}" for sequence in range(1, 31) for part in (0, 1)]


async def test_the_life_of_an_order_is_told_step_by_step(hooks: Hooks) -> None:
    receiver = await hooks.receiver()
    types = [number for number in pb.EventType.values() if number > pb.EVENT_TYPE_TEST]
    await hooks.endpoint(receiver.url, *types)
    order = filled(1, "demo-a").order
    states = [
        (order_pb2.ORDER_STATUS_OPEN, 1, 0),
        (order_pb2.ORDER_STATUS_OPEN, 2, 0),
        (order_pb2.ORDER_STATUS_PARTIALLY_FILLED, 3, 1),
        (order_pb2.ORDER_STATUS_CANCELLED, 4, 0),
    ]
    async with hooks.working():
        for status, sequence, fills in states:
            order.status, order.sequence = status, sequence
            update = order_pb2.OrderUpdate(order=order, fills=[order_pb2.Fill(trade_id="2-9")] * fills)
            await hooks.happens(orders=[update])
        await eventually(lambda: len(receiver.came) == 4)
    told = [pb.EventType.Name(each.event_type) for each in await hooks.deliveries(
        (await hooks.ask(pb.ListEndpointsRequest())).endpoints[0].endpoint_id)]  # fmt: skip
    assert told == [
        "EVENT_TYPE_ORDER_OPENED", "EVENT_TYPE_ORDER_CHANGED", "EVENT_TYPE_ORDER_PARTIALLY_FILLED", "EVENT_TYPE_ORDER_CANCELLED",
    ]  # fmt: skip


async def test_what_happened_before_an_endpoint_was_made_is_told_only_if_it_asks(hooks: Hooks) -> None:
    receiver = await hooks.receiver()
    before = await hooks.happens()
    endpoint_id, _ = await hooks.endpoint(receiver.url)
    async with hooks.working():
        after = await hooks.happens()
        await eventually(lambda: len(receiver.came) == 1)
        assert receiver.ids == [f"msg_2-{after}-0-0"]
        request = pb.RedeliverRequest(endpoint_id=endpoint_id, after=pb.After(account_id="demo-a", sequence=0))
        await hooks.ask(request)
        await eventually(lambda: len(receiver.came) == 3)
    assert receiver.ids[1:] == [f"msg_2-{before}-0-0", f"msg_2-{after}-0-0"]


async def test_f25_an_endpoint_that_fails_is_asked_by_the_schedule_until_the_letter_is_dead(hooks: Hooks) -> None:
    receiver = await hooks.receiver(status=500)
    endpoint_id, secret = await hooks.endpoint(receiver.url)
    await hooks.happens()
    delivery = pb.Delivery()
    for attempts in range(1, ATTEMPTS_MAX + 1):
        # A worker that begins knows nothing of earlier failures: no test waits out its breaker.
        async with hooks.working():
            await eventually(lambda wanted=attempts: len(receiver.came) == wanted)  # type: ignore[misc]

            async def is_recorded(wanted: int = attempts) -> bool:
                return (await hooks.deliveries(endpoint_id))[0].attempts == wanted

            await eventually(is_recorded)
        (delivery,) = await hooks.deliveries(endpoint_id)
        assert (delivery.last_status, delivery.last_error) == (500, "it refused with 500")
        if attempts < ATTEMPTS_MAX:
            assert delivery.state == PENDING
            wait_s = delivery.next_attempt_time.ToNanoseconds() - delivery.last_attempt_time.ToNanoseconds()
            planned = SCHEDULE_S[attempts]
            assert 0.89 * planned <= wait_s / 1e9 <= 1.11 * planned
            await hooks.hurry()
    assert delivery.state == DEAD
    assert len(set(receiver.ids)) == 1
    receiver.status = 204
    async with hooks.working():
        await hooks.ask(pb.RedeliverRequest(endpoint_id=endpoint_id, message_id=delivery.message_id))

        async def is_taken() -> bool:
            return (await hooks.deliveries(endpoint_id))[0].state == SUCCEEDED

        await eventually(is_taken)
    assert receiver.verified(secret)["type"] == "order_filled"


async def test_f25_s26_an_endpoint_that_hangs_delays_no_other(hooks: Hooks) -> None:
    assert DEADLINE_S == 15
    hanging, good = await hooks.receiver(hold=asyncio.Event()), await hooks.receiver()
    for _ in range(3):
        await hooks.endpoint(hanging.url)
    await hooks.endpoint(good.url)
    async with hooks.working(deadline_s=60.0):
        for account_id in ("demo-a", "demo-b") * 10:
            await hooks.happens(account_id)
        await eventually(lambda: len(good.came) == 20)
        assert len(hanging.came) <= 3 * 4
        assert hanging.hold is not None
        hanging.hold.set()


async def test_f25_one_that_is_gone_is_disabled_and_told_nothing_further(hooks: Hooks) -> None:
    receiver = await hooks.receiver(status=410)
    endpoint_id, _ = await hooks.endpoint(receiver.url)
    await hooks.happens()
    await hooks.happens()
    async with hooks.working():
        await eventually(lambda: bool(hooks.gone))
        assert hooks.gone == [endpoint_id]
        # Its user is told by the same transaction.
        assert await hooks.rows("SELECT user_id, template FROM outgoing") == [("usr-ann", "webhook_gone")]
        endpoint = (await hooks.ask(pb.GetEndpointRequest(endpoint_id=endpoint_id))).endpoint
        assert endpoint.state == pb.ENDPOINT_STATE_GONE
        dead, waiting = await hooks.deliveries(endpoint_id)
        assert (dead.state, waiting.state, len(receiver.came)) == (DEAD, PENDING, 1)
        assert await hooks.refused(pb.SendTestRequest(endpoint_id=endpoint_id)) == (
            "FAILED_PRECONDITION", "WEBHOOK_ENDPOINT_DISABLED",
        )  # fmt: skip
        receiver.status = 200
        await hooks.ask(pb.UpdateEndpointRequest(endpoint_id=endpoint_id, state=pb.ENDPOINT_STATE_ENABLED))
        await eventually(lambda: len(receiver.came) == 2)


async def test_f25_s26_time_that_is_asked_for_is_given_and_redirects_are_not_followed(hooks: Hooks) -> None:
    busy, elsewhere = await hooks.receiver(status=503, headers={"retry-after": "1000"}), await hooks.receiver()
    moved = await hooks.receiver(status=307, headers={"location": elsewhere.url})
    first, second = (await hooks.endpoint(busy.url))[0], (await hooks.endpoint(moved.url))[0]
    good = await hooks.receiver()
    await hooks.endpoint(good.url)
    await hooks.happens()
    async with hooks.working():

        async def are_recorded() -> bool:
            return [(await hooks.deliveries(each))[0].attempts for each in (first, second)] == [1, 1]

        await eventually(lambda: len(busy.came) == len(moved.came) == 1)
        await eventually(are_recorded)
        # What happens to another account meanwhile waits at this endpoint, too, and at no other one.
        await hooks.happens("demo-b")
        await eventually(lambda: len(good.came) == len(moved.came) == 2)
        assert len(busy.came) == 1
    delivery, waits = await hooks.deliveries(first)
    assert (waits.account_id, waits.attempts) == ("demo-b", 0)
    wait_s = delivery.next_attempt_time.ToNanoseconds() - delivery.last_attempt_time.ToNanoseconds()
    assert abs(wait_s / 1e9 - 1000) < 5
    assert {each.last_error for each in await hooks.deliveries(second)} == {"it redirects with 307"}
    assert elsewhere.came == []


async def test_f25_s26_an_answer_of_any_length_is_not_read(hooks: Hooks) -> None:
    receiver = await hooks.receiver(answer=b"x" * 10_000_000)
    endpoint_id, _ = await hooks.endpoint(receiver.url)
    await hooks.happens()
    async with hooks.working():

        async def is_taken() -> bool:
            listed = await hooks.deliveries(endpoint_id)
            return bool(listed) and listed[0].state == SUCCEEDED

        await eventually(is_taken)


async def test_s26_a_certificate_that_nobody_vouches_for_ends_the_attempt(hooks: Hooks, tmp_path: Path) -> None:
    certificate = self_signed(tmp_path / "tls")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.chain, certificate.key)
    came: list[str] = []

    async def take(request: web.Request) -> web.Response:
        came.append(await request.text())
        return web.Response()

    application = web.Application()
    application.router.add_post("/", take)
    runner = web.AppRunner(application)
    await runner.setup()
    hooks.stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    endpoint_id, _ = await hooks.endpoint(f"https://localhost:{runner.addresses[0][1]}/")
    await hooks.happens()

    async def is_attempted() -> bool:
        listed = await hooks.deliveries(endpoint_id)
        return bool(listed) and listed[0].attempts > 0

    async with hooks.working():
        await eventually(is_attempted)
    (delivery,) = await hooks.deliveries(endpoint_id)
    assert delivery.last_error == "the certificate or the TLS handshake is not good"
    assert came == []
    # The same server, known to the client: what was refused was the certificate.
    await hooks.hurry()
    trust = ssl.create_default_context(cafile=str(certificate.chain))
    async with hooks.working(trust=trust):
        await eventually(lambda: len(came) == 1)


async def test_s26_a_name_that_leads_inside_is_not_connected_to(hooks: Hooks) -> None:
    receiver = await hooks.receiver()
    port = receiver.url.rsplit(":", 1)[1].split("/")[0]
    endpoint_id, _ = await hooks.endpoint(f"https://localhost:{port}/hook")
    await hooks.happens()

    async def is_attempted() -> bool:
        listed = await hooks.deliveries(endpoint_id)
        return bool(listed) and listed[0].attempts > 0

    async with hooks.working(guard=Guard(loopback=False)):
        await eventually(is_attempted)
    (delivery,) = await hooks.deliveries(endpoint_id)
    assert delivery.last_error == "the name does not lead to public addresses alone"
    assert receiver.came == []


async def test_of_several_workers_one_delivers_and_another_takes_over(hooks: Hooks) -> None:
    receiver = await hooks.receiver()
    await hooks.endpoint(receiver.url)
    async with hooks.working() as second_measures:
        async with hooks.working() as first_measures:
            await hooks.happens()
            await eventually(lambda: len(receiver.came) == 1)
            works = [each.works._value.get() for each in (first_measures, second_measures)]
            assert sorted(works) == [0, 1]
        # Whichever of them is left.
        await hooks.happens()
        # The first one may come twice: who was to stop had no time to write down that it was taken.
        await eventually(lambda: len(set(receiver.ids)) == 2)


async def test_f25_what_fails_holds_its_own_account_and_endpoint_in_order_until_it_is_dead(hooks: Hooks) -> None:
    failing, good = await hooks.receiver(status=500), await hooks.receiver()
    (first, _), (second, _) = await hooks.endpoint(failing.url), await hooks.endpoint(good.url)
    sequences = [await hooks.happens("demo-a") for _ in range(4)]
    other = await hooks.happens("demo-b")
    ids = [f"msg_2-{sequence}-0-0" for sequence in sequences]
    async with hooks.working():

        async def both_began() -> bool:
            return sorted(each.attempts for each in await hooks.deliveries(first)) == [0, 0, 0, 1, 1]

        await eventually(both_began)
        await eventually(lambda: len(good.came) == 5)
    assert [each for each in good.ids if each in ids] == ids
    assert sorted(failing.ids) == sorted([ids[0], f"msg_2-{other}-0-0"]), (
        "an account's first one, and what is behind it waits"
    )
    # A test is of no account: nothing holds it, and it holds nothing.
    failing.status = 204
    await hooks.ask(pb.SendTestRequest(endpoint_id=first))
    async with hooks.working():
        await eventually(lambda: len(failing.ids) == 3)
    # Dead, it holds nothing any more; what waited as long as a message is tried has one try of its own.
    failing.status = 500
    await hooks.rows(
        "UPDATE webhook_deliveries SET since = since - interval '111 hours', next_time = now() WHERE endpoint_id = %s",
        first,
    )
    async with hooks.working():

        async def two_are_dead() -> bool:
            return sum(each.state == DEAD for each in await hooks.deliveries(first)) >= 2

        await eventually(two_are_dead)
    failing.status = 204
    async with hooks.working():

        async def none_waits() -> bool:
            return all(each.state != PENDING for each in await hooks.deliveries(first))

        await eventually(none_waits)
    taken = [each for each in dict.fromkeys(failing.ids) if each in ids]
    assert taken == ids
    assert second


async def test_f25_under_load_endpoints_that_fail_delay_nobody(hooks: Hooks, request: pytest.FixtureRequest) -> None:
    wanted = 5_000 if request.config.getoption("--long") else 300
    good, hanging = await hooks.receiver(), await hooks.receiver(hold=asyncio.Event())
    failing = [await hooks.receiver(status=status) for status in (500, 503, 307)]
    gone = await hooks.receiver(status=410)
    for receiver in (hanging, *failing, gone, good):
        await hooks.endpoint(receiver.url)
    accounts = ("demo-a", "demo-b")
    async with hooks.working(deadline_s=300.0):
        while hooks.sequence < wanted:
            events = []
            for account_id in accounts * 50:
                hooks.sequence += 1
                record = engine_pb2.AccountRecord(orders=[filled(hooks.sequence, account_id)])
                events.append((account_id, hooks.sequence, record))
            await hooks.write(events)
        await eventually(lambda: len(good.came) == wanted, within_s=240)
        assert hanging.hold is not None
        hanging.hold.set()
    came = [json.loads(body)["data"] for _, body in good.came]
    for account_id in accounts:
        sequences = [int(each["sequence"]) for each in came if each["accountId"] == account_id]
        assert sequences == list(range(1 + accounts.index(account_id), wanted + 1, 2)), "in order, each once"
    # Of each account the first one, again and again, and nothing behind it.
    first = {"msg_2-1-0-0", "msg_2-2-1-0"}
    assert [set(each.ids) - first for each in failing] == [set()] * 3
    assert len(gone.came) <= len(accounts)
    ((made, arrived),) = await hooks.rows(
        "SELECT percentile_cont(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM d.create_time - e.time)),"
        " percentile_cont(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM d.last_time - e.time))"
        " FROM webhook_deliveries d JOIN account_events e USING (sequence) WHERE d.state = 'SUCCEEDED'"
    )
    print(
        f"{wanted} events, six endpoints, five of which fail: p99 until made {made:.2f} s, until delivered {arrived:.2f} s"
    )

"""The commit when the database goes away in the middle of it."""

import asyncio

from db.session import Connection, connect
from tests.integration.engine.conftest import Lead
from tests.integration.engine.leading import cancel, commands, journal, place, until
from tests.integration.engine.line import line

KILL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s"


async def rows_of(database: Connection) -> int:
    cursor = await database.execute("SELECT count(*) FROM journal")
    found = await cursor.fetchone()
    assert found is not None
    return int(found[0])


async def test_a_commit_whose_answer_is_lost_is_read_back_and_told(
    lead: Lead, database: Connection, database_url: str
) -> None:
    async with line(database_url) as (address, between):
        led = await lead(through=address)
        account_id = await led.open_account()
        for label in ("first", "second", "third"):
            # The statement is prepared by now: its first use asks the server twice.
            await led.place(account_id, quantity="0.02")
            before = await rows_of(database)
            between.mute()
            placing = asyncio.ensure_future(led.place(account_id, client_order_id=label))
            async with asyncio.timeout(10):
                while await rows_of(database) == before:  # noqa: ASYNC110  # another process's state
                    await asyncio.sleep(0.005)
            assert not placing.done()
            between.cut()
            answer = await placing
            assert (answer.order.client_order_id, answer.replayed) == (label, False)
            assert await rows_of(database) == before + 1
        placed = [c.place_order.client_order_id for c in await commands(database) if c.HasField("place_order")]
        assert placed == ["", "first", "", "second", "", "third"]
        await led.stop()


async def test_a_commit_that_never_arrived_is_sent_again(lead: Lead, database: Connection, database_url: str) -> None:
    async with line(database_url) as (address, between):
        led = await lead(through=address)
        account_id = await led.open_account()
        between.hold()
        placing = asyncio.ensure_future(led.place(account_id))
        await asyncio.sleep(0.1)
        before = await rows_of(database)
        between.cut()
        await placing
        assert await rows_of(database) == before + 1
        await led.stop()


async def test_connections_killed_under_load_lose_nothing(lead: Lead, database: Connection, database_url: str) -> None:
    led = await lead()
    account_id = await led.open_account()
    told: list[str] = []
    stop = asyncio.Event()

    async def trade() -> None:
        while not stop.is_set():
            answer = await led.place(account_id)
            told.append(answer.order.order_id)
            await led.submit(cancel(answer.order.order_id))

    async def kill() -> None:
        async with await connect(database_url, application_name="operator") as operator:
            for _ in range(12):
                await asyncio.sleep(0.06)
                await operator.execute(KILL, ["venue journal 2"])
        stop.set()

    async with asyncio.TaskGroup() as tasks:
        for work in (kill, *[trade] * 8):
            tasks.create_task(work())
    executed = [f"2-{c.sequence}" for c in await commands(database) if c.HasField("place_order")]
    assert sorted(executed) == sorted(told)
    rows = await journal(database)
    assert [row.first_sequence for row in rows[1:]] == [row.last_sequence + 1 for row in rows[:-1]]
    assert led.exchange.floor.orders == {}


async def test_memory_is_not_read_once_the_lease_has_run_out(
    lead: Lead, database: Connection, database_url: str
) -> None:
    async with line(database_url) as (address, between):
        led = await lead(through=address, lease_s=0.8)
        account_id = await led.open_account()
        resting = await led.place(account_id)
        assert (await led.balances(account_id))["USD"][1] == "501"
        between.hold()
        await until(lambda: not led.sequencer.appender.leads)
        looks = {
            "balances": led.balances(account_id),
            "follow": led.engine.follow(account_id, "user-1", snapshot=True),
            "outcome": led.engine.outcome("user-1", "00000000-0000-4000-8000-000000000000"),
            "refusal": led.submit(cancel("2-999")),
        }
        results = dict(
            zip(looks, await asyncio.gather(*looks.values(), return_exceptions=True), strict=True),
        )
        assert {name: getattr(found, "reason", found) for name, found in results.items()} == dict.fromkeys(
            looks, "NOT_LEADER"
        )
        between.release()
        await until(lambda: led.sequencer.appender.leads)
        await led.submit(cancel(resting.order.order_id))
        assert (await led.balances(account_id))["USD"][1] == "0"
        await led.stop()


async def test_a_planned_stop_commits_what_was_executed(lead: Lead, database: Connection) -> None:
    led = await lead(batch_max=5)
    account_id = await led.open_account()
    placing = [asyncio.ensure_future(led.submit(place(account_id))) for _ in range(40)]
    await asyncio.sleep(0)
    await led.stop()
    results = await asyncio.gather(*placing, return_exceptions=True)
    told = [result for result in results if isinstance(result, bytes)]
    executed = [c for c in await commands(database) if c.HasField("place_order")]
    assert len(told) == len(executed) == 40

"""The process `notify` ends between any two steps, as by a loss of power: nothing is lost, and no message has two ids."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from pathlib import Path

from db import outgoing
from db.crash_points import POINTS
from db.outgoing import Letter
from db.sealing import Sealer
from db.session import SERVICES, engine
from servers.domain.letters import Template
from tests.integration.webhook.conftest import Hooks, eventually
from tests.nursery import Running, start
from tests.servers import free_port
from venue.webhook.v1 import webhook_pb2 as pb

LETTER_POINTS = [point for point in POINTS["notify"] if point.startswith("letter-")]
WEBHOOK_POINTS = [point for point in POINTS["notify"] if point.startswith("webhook-")]


@asynccontextmanager
async def notify(hooks: Hooks, folder: Path) -> AsyncIterator[Running]:
    """The process as it is deployed, with nothing but the database around it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VENUE_")} | {
        "VENUE_DATABASE_URL": hooks.database_url,
        "VENUE_REDIS_URL": "redis://127.0.0.1:1/0",
        "VENUE_STATE_DIR": str(folder / "state"),
        "VENUE_FIELD_KEYS": hooks.field_keys,
        "VENUE_WEBHOOK_LOOPBACK": "true",
        "VENUE_NOTIFY_METRICS_PORT": str(free_port()),
        "VENUE_CRASH_POINTS": str(folder / "crash"),
    }
    with (folder / "notify.log").open("ab") as log:
        process = start(["notify"], environment, log.fileno())
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.wait, 60)


async def test_a_crash_between_any_two_steps_loses_nothing_and_makes_nothing_twice(
    hooks: Hooks, tmp_path: Path
) -> None:
    receiver = await hooks.receiver()
    endpoint_id, secret = await hooks.endpoint(receiver.url)
    for point in WEBHOOK_POINTS:
        (tmp_path / "crash").write_text(f"{point} 1")
        await hooks.happens()
        async with notify(hooks, tmp_path) as process:
            assert await asyncio.to_thread(process.wait, 60) == -signal.SIGKILL, point
    async with notify(hooks, tmp_path) as process:

        async def all_are_taken() -> bool:
            assert process.poll() is None, (tmp_path / "notify.log").read_text()[-2000:]
            states = [each.state for each in await hooks.deliveries(endpoint_id)]
            return states == [pb.DELIVERY_STATE_SUCCEEDED] * len(WEBHOOK_POINTS)

        await eventually(all_are_taken, within_s=60)
    made = [f"msg_2-{sequence}-0-0" for sequence in range(1, len(WEBHOOK_POINTS) + 1)]
    assert list(dict.fromkeys(receiver.ids)) == made
    # What was sent and not recorded was sent again, under the same id and signed as well.
    assert len(receiver.ids) > len(made)
    for index in range(len(receiver.came)):
        assert receiver.verified(secret, index)["type"] == "order_filled"


async def test_a_crash_between_any_two_steps_loses_no_letter(hooks: Hooks, tmp_path: Path) -> None:
    tables = engine(hooks.database_url, application_name="test", role=SERVICES)
    hooks.stack.push_async_callback(tables.dispose)
    letter = Letter("ann@example.com", Template.PASSWORD_CHANGED, {}, "usr-ann")
    for point in LETTER_POINTS:
        (tmp_path / "crash").write_text(f"{point} 1")
        await outgoing.add(tables, Sealer(lambda: hooks.field_keys), letter)
        async with notify(hooks, tmp_path) as process:
            assert await asyncio.to_thread(process.wait, 60) == -signal.SIGKILL, point
    # Whoever takes a letter has a while to send it; nobody waits for that here.
    await hooks.rows("UPDATE outgoing SET next_time = clock_timestamp()")

    async def is_empty() -> bool:
        return not await hooks.rows("SELECT message_id FROM outgoing")

    async with notify(hooks, tmp_path):
        await eventually(is_empty, within_s=60)
    mails = [message_from_bytes(path.read_bytes()) for path in sorted((tmp_path / "state/mailbox").glob("*.eml"))]
    # One was handed over and not forgotten: it is there twice, under one id.
    assert len(mails) == len(LETTER_POINTS) + 1
    assert len({mail["Message-ID"] for mail in mails}) == len(LETTER_POINTS)

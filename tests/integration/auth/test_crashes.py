"""The process that serves AuthService ends between a deed and its letter, as by a loss of power: no letter is lost or doubled."""

import asyncio
import signal
import sys
from collections import Counter
from pathlib import Path

from db.crash_points import POINTS
from tests.integration.auth.conftest import FIELD_KEYS, PASSWORD, Auth
from tests.integration.auth.crashing import NEW
from venue.auth.v1 import auth_pb2

ROOT = Path(__file__).resolve().parents[3]
VERIFY, RESET, CHANGED, EXISTS = (
    "Verify your address",
    "Set a new password",
    "Your password was changed",
    "You have an account already",
)
# Where the process ends, what it did, to whom, and the letter of it.
DEEDS = (
    ("user-registered", "register", "new@example.com", VERIFY),
    ("user-registered", "register", "ada@example.com", EXISTS),
    ("mail-asked", "ask", "ada@example.com", RESET),
    ("mail-writing", "ask", "ada@example.com", RESET),
    ("mail-written", "ask", "ada@example.com", RESET),
    ("mail-asked", "ask", "nobody@example.com", None),
    ("password-changed", "change", "ada@example.com", CHANGED),
)


async def crash(auth: Auth) -> list[tuple[str, int]]:
    """Do every deed in a process that ends in the middle. Returns where each was to end, and what ended it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integration.auth.crashing", auth.database_url, FIELD_KEYS),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    lines = "".join(f"{point} {deed} {email}\n" for point, deed, email, _ in DEEDS)
    async with asyncio.timeout(120):
        out, _ = await process.communicate(lines.encode())
    return [(point, int(code)) for point, code in map(str.split, out.decode().splitlines())]


async def test_a_crash_between_a_deed_and_its_letter_neither_loses_nor_doubles_it(auth: Auth) -> None:
    await auth.register("ada@example.com")
    await auth.verify(auth.mailed_token())
    before = len(auth.mails())
    assert {point for point, *_ in DEEDS} == set(POINTS["auth"])
    assert await crash(auth) == [(point, -signal.SIGKILL) for point, *_ in DEEDS]
    # Nothing went out yet; what was done was done.
    assert len(auth.mails()) == before
    # Whoever takes what was asked for has a while to write it; nobody waits for that here.
    await auth.rows("UPDATE outgoing SET next_time = clock_timestamp()")
    await auth.deliver()
    told = Counter((to, subject) for to, subject, _ in auth.mails()[before:])
    assert told == Counter((email, subject) for _, _, email, subject in DEEDS if subject is not None)
    assert await auth.rows("SELECT message_id FROM outgoing") == []
    ((tokens, asked),) = await auth.rows(
        "SELECT (SELECT count(*) FROM mailed_tokens),"
        " (SELECT count(*) FROM audit_entries WHERE action = 'PASSWORD_RESET_REQUEST')"
    )
    assert tokens == asked == told["ada@example.com", RESET] == 3
    assert (await auth.refused(auth.login("ada@example.com", PASSWORD)))[1] == "CREDENTIALS_INVALID"
    await auth.login("ada@example.com", NEW)


async def test_a_desk_writes_what_another_one_left_and_what_it_is_asked_meanwhile(auth: Auth) -> None:
    await auth.register("ada@example.com")
    request = auth_pb2.RequestPasswordResetRequest(email="ada@example.com")

    async def is_written(count: int) -> None:
        done = [("MAIL", "password_reset")] * count
        async with asyncio.timeout(30):
            while await auth.rows("SELECT channel, template FROM outgoing") != done:  # noqa: ASYNC110  written elsewhere
                await asyncio.sleep(0.02)

    await auth.stub.RequestPasswordReset(request)
    writing = asyncio.create_task(auth.desk.run())
    await is_written(1)
    await auth.stub.RequestPasswordReset(request)
    await is_written(2)
    writing.cancel()

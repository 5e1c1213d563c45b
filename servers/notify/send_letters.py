"""The sender: letters that are due are written and handed to the first provider that takes them.

A letter is stored until somebody else is answerable for it. Who crashes between handing it over and forgetting it sends it again,
with the same Message-ID or key, by which providers and mail programs know a repetition where they look at it.
"""

import asyncio
import math
import random
import time
from collections.abc import Sequence
from typing import Final

import structlog
from jinja2 import TemplateError
from prometheus_client import REGISTRY, CollectorRegistry, Counter
from sqlalchemy.ext.asyncio import AsyncEngine

from db import outgoing
from db.crash_points import passing
from db.outgoing import Taken
from db.sealing import Sealer
from servers.domain.errors import PartUnavailable
from servers.domain.letters import Channel
from servers.notify.provider import Breaker, MailNotTaken, Provider
from servers.notify.writing import Mail, write, write_sms

log = structlog.get_logger()
# Between two looks: soon after a letter the next may come, as a person answers it.
LOOK_S: Final = 0.3
QUIET_LOOK_S: Final = 1.0
QUIET_AFTER_S: Final = 20.0
AT_ONCE: Final = 8
FORGET_S: Final = 3600.0
# Waits double from 2 s on, up to an hour: fifteen attempts last some six hours.
ATTEMPTS_MAX: Final = 15
FIRST_WAIT_S: Final = 2.0
WAIT_MAX_S: Final = 3600.0
# A text message of which nobody heard whether it went out goes once more and no further (docs/decisions/0027).
UNHEARD_MAX: Final = 2


class LetterMeasures:
    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.letters = Counter(
            "venue_mail_letters", "What came of attempts to send.", ["provider", "outcome"], registry=registry
        )


class Sender:
    """Sends until cancelled. Several may work at once: a letter is taken by one of them. `providers` in order of preference."""

    def __init__(
        self,
        engine: AsyncEngine,
        sealer: Sealer,
        providers: Sequence[Provider],
        measures: LetterMeasures,
        channel: Channel = Channel.MAIL,
    ) -> None:
        assert providers
        self._channel = channel
        self._write = write if channel is Channel.MAIL else write_sms
        self._engine, self._sealer, self._providers, self._measures = engine, sealer, providers, measures
        self._breakers = {provider.name: Breaker() for provider in providers}
        self._last = -math.inf
        self._random = random.Random()  # noqa: S311  # nosec B311  jitter, no secret

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._forget())
            while True:
                if not await self._step():
                    is_quiet = time.monotonic() > self._last + QUIET_AFTER_S
                    await asyncio.sleep(QUIET_LOOK_S if is_quiet else LOOK_S)

    async def _step(self) -> bool:
        """Send some of what is due. Returns whether there may be more."""
        try:
            taken = await outgoing.take(self._engine, self._sealer, AT_ONCE, self._channel)
            await asyncio.gather(*(self._send(each) for each in taken))
        except PartUnavailable as error:
            log.warning("letters not read yet", cause=str(error))
            return False
        if taken:
            self._last = time.monotonic()
        return len(taken) == AT_ONCE

    async def _send(self, taken: Taken) -> None:
        """Raises PartUnavailable: the letter is taken again later."""
        letter = taken.letter
        if letter is None:
            # For people: a key that is gone may come back. Those beside it go.
            log.error("letter does not open", message_id=taken.message_id, attempt=taken.attempts)
            wait_s = None if taken.attempts >= ATTEMPTS_MAX else WAIT_MAX_S
            await outgoing.put_off(self._engine, taken.message_id, "its seal is broken", wait_s)
            return
        once = self._channel is Channel.SMS
        if once and taken.unheard > UNHEARD_MAX:
            await self._give_up(taken, "it may have gone out before this process, or another, ended")
            return
        try:
            mail = self._write(letter.address, letter.template, letter.values, taken.message_id)
        except TemplateError as error:
            log.error("letter not written", template=letter.template.value, cause=str(error))
            await outgoing.put_off(self._engine, taken.message_id, str(error), None)
            return
        passing("letter-taken")
        refusal = await self._hand_over(mail, letter.template.value)
        passing("letter-sent")
        if refusal is None:
            await outgoing.forget(self._engine, taken.message_id)
            return
        is_told = once and refusal.unheard and taken.unheard >= UNHEARD_MAX
        is_last = refusal.lasting or taken.attempts >= ATTEMPTS_MAX or is_told
        longest = min(WAIT_MAX_S, FIRST_WAIT_S * 2.0 ** (taken.attempts - 1))
        wait_s = None if is_last else longest * self._random.uniform(0.5, 1.0)
        await outgoing.put_off(self._engine, taken.message_id, str(refusal), wait_s, unheard=refusal.unheard)
        level = log.error if is_last else log.warning
        level(
            "letter not sent", message_id=taken.message_id, cause=str(refusal), attempt=taken.attempts, given_up=is_last
        )

    async def _give_up(self, taken: Taken, cause: str) -> None:
        log.error("letter not sent", message_id=taken.message_id, cause=cause, attempt=taken.attempts, given_up=True)
        await outgoing.put_off(self._engine, taken.message_id, cause, None, unheard=True)

    async def _hand_over(self, mail: Mail, template: str) -> MailNotTaken | None:
        """To the first provider that takes it, those apart that failed of late. What the last one said where none does."""
        refusal = MailNotTaken("every provider is given time to recover")
        for provider in self._providers:
            breaker = self._breakers[provider.name]
            if breaker.is_open:
                continue
            try:
                await provider.send(mail)
            except MailNotTaken as error:
                refusal = error
                self._measures.letters.labels(provider.name, "refused" if error.lasting else "failed").inc()
                if error.lasting:
                    breaker.worked()
                    return error
                breaker.failed()
                if error.unheard and self._channel is Channel.SMS:
                    # Another company would not know that this one may have sent it.
                    return error
            else:
                breaker.worked()
                self._measures.letters.labels(provider.name, "sent").inc()
                log.info("letter sent", template=template, provider=provider.name)
                return None
        return refusal

    async def _forget(self) -> None:
        while True:
            try:
                await outgoing.forget_failed(self._engine)
            except PartUnavailable as error:
                log.warning("letters not forgotten yet", cause=str(error))
            await asyncio.sleep(FORGET_S)

"""Stripe that hangs: calls end at their deadline, and from the third on in a row nobody asks for a while."""

from contextlib import AsyncExitStack

import pytest

from servers.domain.errors import PartUnavailable
from servers.funding.provider import RefusedByProvider
from servers.funding.simulator.outbound import FINANCIAL_ACCOUNT
from servers.funding.stripe_client import Credentials, StripeClient
from servers.transport import breaker
from tests.integration.funding.conftest import stripes


async def test_a_stripe_that_hangs_costs_a_call_its_deadline_and_is_then_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # However slow the machine is, nobody is asked again within this test.
    monkeypatch.setattr(breaker, "FIRST_S", 300.0)
    async with AsyncExitStack() as stack:
        simulator, _ = await stripes(stack)

        async def credentials() -> Credentials:
            return Credentials(simulator.api_key, (), simulator.url, FINANCIAL_ACCOUNT)

        def made(call_s: float) -> StripeClient:
            client = StripeClient(credentials, call_s=call_s)
            stack.push_async_callback(client.close)
            return client

        async def ask(client: StripeClient) -> None:
            await client.call(lambda stripe: stripe.v1.checkout.sessions.retrieve_async("cs_1"))

        client = made(0.3)
        simulator.fault.wait_s = 60.0
        for _ in range(3):
            with pytest.raises(PartUnavailable):
                await ask(client)
        # It is well again, and says that there is no such session; but not to whom it did not answer.
        simulator.fault.wait_s = 0.0
        with pytest.raises(RefusedByProvider):
            await ask(made(30.0))
        with pytest.raises(PartUnavailable):
            await ask(client)

"""The RPCs that are declared and not served yet are those that are listed, and no others."""

import importlib
from pathlib import Path

import pytest

from servers.transport.server import missing_methods
from tests.contract.descriptors import methods

LISTED = Path(__file__).resolve().parent / "unimplemented.txt"
# Service -> the module and class that serve it.
SERVICERS = {
    "venue.auth.v1.AuthService": ("servers.auth.servicer", "AuthServicer"),
    "venue.account.v1.AccountService": ("servers.account.servicer", "AccountServicer"),
    "venue.funding.v1.FundingService": ("servers.funding.servicer", "FundingServicer"),
    "venue.admin.v1.AdminService": ("servers.admin.servicer", "AdminServicer"),
    "venue.order.v1.OrderService": ("servers.order.servicer", "OrderServicer"),
    "venue.marketdata.v1.MarketDataService": ("servers.marketdata.servicer", "MarketDataServicer"),
    "venue.notify.v1.NotificationService": ("servers.notify.servicer", "NotificationServicer"),
    "venue.webhook.v1.WebhookService": ("servers.webhook.servicer", "WebhookServicer"),
    "venue.engine.v1.LimitsService": ("servers.transport.limits_servicer", "LimitsServicer"),
    "venue.engine.v1.EngineService": ("servers.engine.servicer", "EngineServicer"),
}


def listed() -> list[str]:
    return [line for line in LISTED.read_text().splitlines() if line and not line.startswith("#")]


def test_every_service_has_a_servicer() -> None:
    assert set(SERVICERS) == {method.containing_service.full_name for method in methods().values()}


@pytest.mark.parametrize("service", SERVICERS)
def test_what_a_servicer_lacks_is_listed(service: str) -> None:
    module, name = SERVICERS[service]
    servicer = getattr(importlib.import_module(module), name)
    descriptor = next(
        method.containing_service for method in methods().values() if method.containing_service.full_name == service
    )
    expected = [method for method in listed() if method.startswith(f"{service}.")]
    assert missing_methods(descriptor, servicer) == expected

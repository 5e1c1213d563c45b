"""What every RPC, message and enum of the contract must have."""

import subprocess
from typing import Final

import pytest

from servers.transport.access import rule_of
from tests.contract.descriptors import BASELINE, DESCRIPTOR_SET, ROOT, files, methods, rest, uncommented
from venue.option.v1 import access_pb2

BUF: Final = ROOT / ".venv" / "bin" / "buf"
# What clients were promised, for every RPC that exists. Bidirectional streams and the engine have no REST.
REST = {
    "venue.auth.v1.AuthService.Register": ["POST /v1/auth/register"],
    "venue.auth.v1.AuthService.VerifyEmail": ["POST /v1/auth/verify-email"],
    "venue.auth.v1.AuthService.Login": ["POST /v1/auth/login"],
    "venue.auth.v1.AuthService.Refresh": ["POST /v1/auth/refresh"],
    "venue.auth.v1.AuthService.Logout": ["POST /v1/auth/logout"],
    "venue.auth.v1.AuthService.RequestPasswordReset": ["POST /v1/auth/request-password-reset"],
    "venue.auth.v1.AuthService.ResetPassword": ["POST /v1/auth/reset-password"],
    "venue.auth.v1.AuthService.ChangePassword": ["POST /v1/auth/change-password"],
    "venue.auth.v1.AuthService.UnlockLogin": ["POST /v1/auth/unlock-login"],
    "venue.auth.v1.AuthService.ListSessions": ["GET /v1/auth/sessions"],
    "venue.auth.v1.AuthService.RevokeSession": ["DELETE /v1/auth/sessions/{session_id}"],
    "venue.auth.v1.AuthService.WhoAmI": ["GET /v1/auth/me"],
    "venue.auth.v1.AuthService.GetJwks": ["GET /.well-known/jwks.json"],
    "venue.auth.v1.AuthService.EnrollTotp": ["POST /v1/auth/totp"],
    "venue.auth.v1.AuthService.ConfirmTotp": ["POST /v1/auth/totp:confirm"],
    "venue.auth.v1.AuthService.DisableTotp": ["DELETE /v1/auth/totp"],
    "venue.auth.v1.AuthService.StepUp": ["POST /v1/auth/step-up"],
    "venue.auth.v1.AuthService.CreateApiKey": ["POST /v1/api-keys"],
    "venue.auth.v1.AuthService.ListApiKeys": ["GET /v1/api-keys"],
    "venue.auth.v1.AuthService.RevokeApiKey": ["DELETE /v1/api-keys/{api_key_id}"],
    "venue.auth.v1.AuthService.Authorize": ["POST /v1/auth/authorize"],
    "venue.auth.v1.AuthService.Exchange": ["POST /v1/auth/exchange"],
    "venue.auth.v1.AuthService.GetQuota": ["GET /v1/auth/quota"],
    "venue.account.v1.AccountService.CreateAccount": ["POST /v1/accounts"],
    "venue.account.v1.AccountService.ListAccounts": ["GET /v1/accounts"],
    "venue.account.v1.AccountService.GetAccount": ["GET /v1/accounts/{account_id}"],
    "venue.account.v1.AccountService.UpdateAccount": ["PATCH /v1/accounts/{account_id}"],
    "venue.account.v1.AccountService.CloseAccount": ["POST /v1/accounts/{account_id}:close"],
    "venue.account.v1.AccountService.QuoteConversion": ["POST /v1/conversions:quote"],
    "venue.account.v1.AccountService.CreateConversion": ["POST /v1/conversions"],
    "venue.account.v1.AccountService.ListBalances": ["GET /v1/accounts/{account_id}/balances"],
    "venue.account.v1.AccountService.ListPositions": ["GET /v1/accounts/{account_id}/positions"],
    "venue.account.v1.AccountService.GetBalanceAt": ["GET /v1/accounts/{account_id}/balances:at"],
    "venue.account.v1.AccountService.ExplainBalance": ["GET /v1/accounts/{account_id}/balances/{asset}:explain"],
    "venue.account.v1.AccountService.GetPortfolio": ["GET /v1/accounts/{account_id}/portfolio"],
    "venue.account.v1.AccountService.ListLedgerEntries": ["GET /v1/accounts/{account_id}/ledger"],
    "venue.account.v1.AccountService.ListTransactions": ["GET /v1/transactions"],
    "venue.account.v1.AccountService.StreamStatement": ["GET /v1/accounts/{account_id}/statements"],
    "venue.account.v1.AccountService.CreateTransfer": ["POST /v1/transfers"],
    "venue.account.v1.AccountService.GetTransfer": ["GET /v1/transfers/{transfer_id}"],
    "venue.account.v1.AccountService.StreamAccount": ["GET /v1/accounts/{account_id}/stream"],
    "venue.funding.v1.FundingService.CreateDeposit": ["POST /v1/deposits"],
    "venue.funding.v1.FundingService.GetDeposit": ["GET /v1/deposits/{deposit_id}"],
    "venue.funding.v1.FundingService.ListDeposits": ["GET /v1/deposits"],
    "venue.funding.v1.FundingService.SubmitKyc": ["POST /v1/kyc"],
    "venue.funding.v1.FundingService.GetKyc": ["GET /v1/kyc"],
    "venue.funding.v1.FundingService.CreateBeneficiary": ["POST /v1/beneficiaries"],
    "venue.funding.v1.FundingService.ListBeneficiaries": ["GET /v1/beneficiaries"],
    "venue.funding.v1.FundingService.DeleteBeneficiary": ["DELETE /v1/beneficiaries/{beneficiary_id}"],
    "venue.funding.v1.FundingService.CreateWithdrawal": ["POST /v1/withdrawals"],
    "venue.funding.v1.FundingService.GetWithdrawal": ["GET /v1/withdrawals/{withdrawal_id}"],
    "venue.funding.v1.FundingService.ListWithdrawals": ["GET /v1/withdrawals"],
    "venue.funding.v1.FundingService.CancelWithdrawal": ["POST /v1/withdrawals/{withdrawal_id}:cancel"],
    "venue.funding.v1.FundingService.ReceiveStripeEvent": ["POST /webhooks/stripe"],
    "venue.order.v1.OrderService.PlaceOrder": ["POST /v1/orders"],
    "venue.order.v1.OrderService.PlaceOrders": ["POST /v1/orders:batch"],
    "venue.order.v1.OrderService.PlaceOco": ["POST /v1/orders:oco"],
    "venue.order.v1.OrderService.AmendOrders": ["POST /v1/orders:batchAmend"],
    "venue.order.v1.OrderService.CancelOrders": ["POST /v1/orders:batchCancel"],
    "venue.order.v1.OrderService.PreviewOrder": ["POST /v1/orders:preview"],
    "venue.order.v1.OrderService.AmendOrder": ["PATCH /v1/orders/{order_id}", "PATCH /v1/orders:byClientOrderId"],
    "venue.order.v1.OrderService.ReplaceOrder": ["POST /v1/orders/{order_id}:replace"],
    "venue.order.v1.OrderService.CancelOrder": ["DELETE /v1/orders/{order_id}", "DELETE /v1/orders:byClientOrderId"],
    "venue.order.v1.OrderService.CancelAllOrders": ["POST /v1/orders:cancelAll"],
    "venue.order.v1.OrderService.CancelAllAfter": ["POST /v1/orders:cancelAllAfter"],
    "venue.order.v1.OrderService.GetOrder": ["GET /v1/orders/{order_id}", "GET /v1/orders:byClientOrderId"],
    "venue.order.v1.OrderService.ListOrders": ["GET /v1/orders"],
    "venue.order.v1.OrderService.ListFills": ["GET /v1/fills"],
    "venue.order.v1.OrderService.GetRequestOutcome": ["GET /v1/orders:outcome"],
    "venue.order.v1.OrderService.StreamOrders": ["GET /v1/orders:stream"],
    "venue.order.v1.OrderService.Trade": [],
    "venue.marketdata.v1.MarketDataService.ListMarkets": ["GET /v1/markets"],
    "venue.marketdata.v1.MarketDataService.GetMarket": ["GET /v1/markets/{symbol}"],
    "venue.marketdata.v1.MarketDataService.GetOrderBook": ["GET /v1/markets/{symbol}/book"],
    "venue.marketdata.v1.MarketDataService.ListBookSnapshots": ["GET /v1/markets/{symbol}/book/snapshots"],
    "venue.marketdata.v1.MarketDataService.ListTrades": ["GET /v1/markets/{symbol}/trades"],
    "venue.marketdata.v1.MarketDataService.ListCandles": ["GET /v1/markets/{symbol}/candles"],
    "venue.marketdata.v1.MarketDataService.GetTicker": ["GET /v1/markets/{symbol}/ticker"],
    "venue.marketdata.v1.MarketDataService.GetMarketStatistics": ["GET /v1/markets/{symbol}/statistics"],
    "venue.marketdata.v1.MarketDataService.ListMarketStatistics": ["GET /v1/statistics"],
    "venue.marketdata.v1.MarketDataService.ListTickers": ["GET /v1/tickers"],
    "venue.marketdata.v1.MarketDataService.Subscribe": ["GET /v1/marketdata:subscribe"],
    "venue.marketdata.v1.MarketDataService.UpdateSubscriptions": ["POST /v1/marketdata:updateSubscriptions"],
    "venue.marketdata.v1.MarketDataService.Session": [],
    "venue.admin.v1.AdminService.CreateAdminToken": ["POST /v1/admin/token"],
    "venue.admin.v1.AdminService.ListUsers": ["GET /v1/admin/users"],
    "venue.admin.v1.AdminService.GetUser": ["GET /v1/admin/users/{user_id}"],
    "venue.admin.v1.AdminService.SetUserRole": ["POST /v1/admin/users/{user_id}:setRole"],
    "venue.admin.v1.AdminService.FreezeUser": ["POST /v1/admin/users/{user_id}:freeze"],
    "venue.admin.v1.AdminService.UnfreezeUser": ["POST /v1/admin/users/{user_id}:unfreeze"],
    "venue.admin.v1.AdminService.UnlockUser": ["POST /v1/admin/users/{user_id}:unlock"],
    "venue.admin.v1.AdminService.ListUserSessions": ["GET /v1/admin/users/{user_id}/sessions"],
    "venue.admin.v1.AdminService.RevokeUserSessions": ["POST /v1/admin/users/{user_id}/sessions:revoke"],
    "venue.admin.v1.AdminService.SetMarketState": ["POST /v1/admin/markets/{symbol}:setState"],
    "venue.admin.v1.AdminService.CreateMarket": ["POST /v1/admin/markets"],
    "venue.admin.v1.AdminService.CreateAsset": ["POST /v1/admin/assets"],
    "venue.admin.v1.AdminService.SetTradingHours": ["POST /v1/admin/markets/{symbol}:setTradingHours"],
    "venue.admin.v1.AdminService.GetFees": ["GET /v1/admin/fees"],
    "venue.admin.v1.AdminService.SetFees": ["POST /v1/admin/fees"],
    "venue.admin.v1.AdminService.GetLimits": ["GET /v1/admin/limits"],
    "venue.admin.v1.AdminService.SetLimits": ["POST /v1/admin/limits"],
    "venue.admin.v1.AdminService.SetAccountTerms": ["POST /v1/admin/accounts/{account_id}:setTerms"],
    "venue.admin.v1.AdminService.ProposeAdjustment": ["POST /v1/admin/adjustments"],
    "venue.admin.v1.AdminService.VerifyLedger": ["POST /v1/admin/ledger:verify"],
    "venue.admin.v1.AdminService.ListCustomerDeposits": ["GET /v1/admin/deposits"],
    "venue.admin.v1.AdminService.ConfirmDeposit": ["POST /v1/admin/deposits/{deposit_id}:confirm"],
    "venue.notify.v1.NotificationService.GetPhoneNumber": ["GET /v1/notifications/phone"],
    "venue.notify.v1.NotificationService.SetPhoneNumber": ["POST /v1/notifications/phone"],
    "venue.notify.v1.NotificationService.ConfirmPhoneNumber": ["POST /v1/notifications/phone:confirm"],
    "venue.notify.v1.NotificationService.DeletePhoneNumber": ["DELETE /v1/notifications/phone"],
    "venue.admin.v1.AdminService.ListAlerts": ["GET /v1/admin/alerts"],
    "venue.admin.v1.AdminService.AcknowledgeAlert": ["POST /v1/admin/alerts/{alert_id}:acknowledge"],
    "venue.admin.v1.AdminService.CloseAlert": ["POST /v1/admin/alerts/{alert_id}:close"],
    "venue.admin.v1.AdminService.ListKycSubmissions": ["GET /v1/admin/kyc-submissions"],
    "venue.admin.v1.AdminService.GetKycSubmission": ["GET /v1/admin/kyc-submissions/{kyc_submission_id}"],
    "venue.admin.v1.AdminService.ReviewKyc": ["POST /v1/admin/kyc-submissions/{kyc_submission_id}:review"],
    "venue.admin.v1.AdminService.ListCustomerWithdrawals": ["GET /v1/admin/withdrawals"],
    "venue.admin.v1.AdminService.DecideWithdrawal": ["POST /v1/admin/withdrawals/{withdrawal_id}:decide"],
    "venue.admin.v1.AdminService.ListPendingActions": ["GET /v1/admin/pending-actions"],
    "venue.admin.v1.AdminService.GetPendingAction": ["GET /v1/admin/pending-actions/{pending_action_id}"],
    "venue.admin.v1.AdminService.ApprovePendingAction": ["POST /v1/admin/pending-actions/{pending_action_id}:approve"],
    "venue.admin.v1.AdminService.RejectPendingAction": ["POST /v1/admin/pending-actions/{pending_action_id}:reject"],
    "venue.admin.v1.AdminService.ListAuditEntries": ["GET /v1/admin/audit-entries"],
    "venue.admin.v1.AdminService.GetSystemStatus": ["GET /v1/admin/status"],
    "venue.admin.v1.AdminService.StreamSystem": ["GET /v1/admin/status:stream"],
    "venue.engine.v1.LimitsService.TellUse": [],
    "venue.engine.v1.EngineService.Submit": [],
    "venue.engine.v1.EngineService.Query": [],
    "venue.notify.v1.NotificationService.GetPreferences": ["GET /v1/notifications/preferences"],
    "venue.notify.v1.NotificationService.UpdatePreferences": ["PATCH /v1/notifications/preferences"],
    "venue.webhook.v1.WebhookService.CreateEndpoint": ["POST /v1/webhooks"],
    "venue.webhook.v1.WebhookService.ListEndpoints": ["GET /v1/webhooks"],
    "venue.webhook.v1.WebhookService.GetEndpoint": ["GET /v1/webhooks/{endpoint_id}"],
    "venue.webhook.v1.WebhookService.UpdateEndpoint": ["PATCH /v1/webhooks/{endpoint_id}"],
    "venue.webhook.v1.WebhookService.DeleteEndpoint": ["DELETE /v1/webhooks/{endpoint_id}"],
    "venue.webhook.v1.WebhookService.RotateSecret": ["POST /v1/webhooks/{endpoint_id}:rotateSecret"],
    "venue.webhook.v1.WebhookService.ListDeliveries": ["GET /v1/webhooks/{endpoint_id}/deliveries"],
    "venue.webhook.v1.WebhookService.Redeliver": ["POST /v1/webhooks/{endpoint_id}:redeliver"],
    "venue.webhook.v1.WebhookService.SendTest": ["POST /v1/webhooks/{endpoint_id}:test"],
    "venue.engine.v1.EngineService.Tail": [],
    "venue.engine.v1.EngineService.Follow": [],
}
SAFE = {"Get", "List", "Stream", "Preview"}


def test_rest_paths_are_those_that_clients_were_promised() -> None:
    assert {name: rest(method) for name, method in methods().items()} == REST


def test_every_method_has_a_rule_of_access() -> None:
    assert [name for name, method in methods().items() if not rule_of(method, internal=True).bucket] == []


def test_only_the_engine_is_for_the_inside() -> None:
    inside = {name for name, method in methods().items() if rule_of(method, internal=True).scope == INTERNAL}
    assert inside == {name for name in methods() if name.startswith("venue.engine.")}


INTERNAL = access_pb2.SCOPE_INTERNAL


def test_what_only_reads_needs_no_right_to_trade() -> None:
    # What credentials a person has is for the person alone, not for a key that reads.
    may_read = {access_pb2.SCOPE_PUBLIC, access_pb2.SCOPE_READ, access_pb2.SCOPE_ACCOUNT, access_pb2.SCOPE_ADMIN}
    wrong = [
        name
        for name, method in methods().items()
        if method.name.startswith(tuple(SAFE)) and rule_of(method, internal=True).scope not in may_read
    ]
    assert wrong == []


# What changes who may come in, or takes money away: each demands a fresh authentication (S06 of the security checklist). There is
# no way to change one's address of mail.
SENSITIVE = {
    "auth.v1.AuthService": {"ChangePassword", "EnrollTotp", "DisableTotp", "CreateApiKey"},
    "admin.v1.AdminService": {"CreateAdminToken"},
    "funding.v1.FundingService": {"CreateBeneficiary", "CreateWithdrawal"},
    "webhook.v1.WebhookService": {"CreateEndpoint", "UpdateEndpoint", "RotateSecret"},
}


def test_s06_what_is_sensitive_demands_a_fresh_authentication() -> None:
    rules = {name: rule_of(method, internal=True) for name, method in methods().items()}
    demanding = {name for name, rule in rules.items() if rule.second_factor}
    assert demanding >= {f"venue.{service}.{name}" for service, names in SENSITIVE.items() for name in names}
    assert {name for name, rule in rules.items() if rule.scope == access_pb2.SCOPE_WITHDRAW} <= demanding
    assert not [name for name in rules if "Email" in name and name != "venue.auth.v1.AuthService.VerifyEmail"]


def test_mutations_are_safe_to_repeat() -> None:
    wrong = [
        name
        for name, method in methods().items()
        if rule_of(method, internal=True).scope == access_pb2.SCOPE_TRADE
        and not method.client_streaming
        and method.name != "CancelAllAfter"  # sets a moment: repeating it is what it is for
        and "request_id" not in method.input_type.fields_by_name
    ]
    assert wrong == []


def test_every_list_has_pages() -> None:
    # Few by nature, and always wanted together.
    short = {"ListBalances", "ListPositions", "ListTickers"}
    wrong = [
        name
        for name, method in methods().items()
        if method.name.startswith("List")
        and method.name not in short
        and not (
            {"page_size", "page_token"} <= set(method.input_type.fields_by_name)
            and "next_page_token" in method.output_type.fields_by_name
        )
    ]
    assert wrong == []


def test_every_stream_has_the_envelope() -> None:
    envelope = {
        "stream_id",
        "sequence",
        "previous_sequence",
        "position",
        "server_time",
        "ready",
        "heartbeat",
        "goodbye",
    }
    wrong = [
        name
        for name, method in methods().items()
        if method.server_streaming
        and not name.startswith("venue.engine.")
        # The frames of a session are those of Subscribe; a statement is a file, which ends.
        and method.name not in {"Session", "StreamStatement"}
        and not envelope <= set(method.output_type.fields_by_name)
    ]
    assert wrong == []


def test_requests_and_responses_are_named_after_their_method() -> None:
    wrong = [
        name
        for name, method in methods().items()
        if (method.input_type.name, method.output_type.name) != (f"{method.name}Request", f"{method.name}Response")
    ]
    assert wrong == []


def test_everything_is_explained() -> None:
    assert [name for file in files() for name in uncommented(file)] == []


def test_decimals_are_text() -> None:
    floats = [
        f"{file.package}.{message.name}.{field.name}"
        for file in files()
        for message in file.message_type
        for field in message.field
        if field.type in {field.TYPE_DOUBLE, field.TYPE_FLOAT}
    ]
    assert floats == []


@pytest.mark.parametrize("command", [["lint"], ["breaking", "--against", str(BASELINE)]], ids=["lint", "breaking"])
def test_buf_agrees(command: list[str]) -> None:
    ran = subprocess.run(
        [BUF, command[0], DESCRIPTOR_SET, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")

"""What every RPC is asked for that somebody owns: the second table of the access matrix (test_access_matrix.py)."""

import uuid
from collections.abc import Callable

from tests.e2e.people import FUNDS, Person, log_in
from tests.e2e.rest import Json
from tests.e2e.ways import Rest

# What every RPC is asked for that somebody owns: a request that names the owner's, or why no request can name another's.
Case = Callable[["Owned"], Json] | str
OF_THE_CALLER = "is about the caller alone"


class Owned:
    """What the owner has; a new order for each case, as some cases end it."""

    def __init__(self, rest: Rest, person: Person) -> None:
        self._rest, self.person = rest, person
        self.account = {"accountId": person.account_id}
        second = rest.call("account.v1.AccountService.CreateAccount", {"type": "ACCOUNT_TYPE_DEMO"}, person.token)
        self.second_id = second["account"]["accountId"]

    def order(self, **more: object) -> Json:
        return self.person.order("BUY", "1000", "0.01", **more)

    def order_id(self) -> str:
        placed = self._rest.call("order.v1.OrderService.PlaceOrder", self.order(), self.person.token)
        assert placed["order"]["status"] == "ORDER_STATUS_OPEN", placed
        found: str = placed["order"]["orderId"]
        return found

    def transfer(self) -> Json:
        return {
            "fromAccountId": self.person.account_id,
            "toAccountId": self.second_id,
            "asset": "USD",
            "amount": "1",
        }

    def spare_id(self) -> str:
        """An account with nothing in it."""
        opened = self._rest.call(
            "account.v1.AccountService.CreateAccount", {"type": "ACCOUNT_TYPE_DEMO"}, self.person.token
        )
        found: str = opened["account"]["accountId"]
        for asset, amount in FUNDS.items():
            emptied = {"fromAccountId": found, "toAccountId": self.second_id, "asset": asset, "amount": amount}
            self._rest.call("account.v1.AccountService.CreateTransfer", emptied, self.person.token)
        return found

    def conversion(self) -> Json:
        return self.account | {"fromAsset": "USD", "fromAmount": "10", "toAsset": "ETH"}

    def quote_id(self) -> str:
        made = self._rest.call("account.v1.AccountService.QuoteConversion", self.conversion(), self.person.token)
        found: str = made["quote"]["quoteId"]
        return found

    def transfer_id(self) -> str:
        done = self._rest.call("account.v1.AccountService.CreateTransfer", self.transfer(), self.person.token)
        found: str = done["transfer"]["transferId"]
        return found

    def deposit(self) -> Json:
        return self.account | {"asset": "USD", "amount": "1", "provider": "DEPOSIT_PROVIDER_SANDBOX"}

    def deposit_id(self) -> str:
        made = self._rest.call("funding.v1.FundingService.CreateDeposit", self.deposit(), self.person.token)
        found: str = made["deposit"]["depositId"]
        return found

    def api_key_id(self) -> str:
        asked = {"name": "case", "scopes": ["SCOPE_READ"]}
        made = self._rest.call("auth.v1.AuthService.CreateApiKey", asked, self.person.token)
        found: str = made["apiKey"]["apiKeyId"]
        return found

    def webhook(self) -> Json:
        return {"url": "https://example.com/hook", "eventTypes": ["EVENT_TYPE_ORDER_FILLED"]}

    def endpoint(self) -> Json:
        made = self._rest.call("webhook.v1.WebhookService.CreateEndpoint", self.webhook(), self.person.token)
        return {"endpointId": made["endpoint"]["endpointId"]}

    def session_id(self) -> str:
        """Of another log-in than the one that calls."""
        other = log_in(self._rest, self.person.email)
        found: str = self._rest.call("auth.v1.AuthService.WhoAmI", {}, other)["sessionId"]
        return found


CASES: dict[str, Case] = {
    "auth.v1.AuthService.Logout": OF_THE_CALLER,
    "auth.v1.AuthService.WhoAmI": OF_THE_CALLER,
    "auth.v1.AuthService.GetQuota": OF_THE_CALLER,
    "auth.v1.AuthService.ChangePassword": OF_THE_CALLER,
    "auth.v1.AuthService.ListSessions": OF_THE_CALLER,
    "auth.v1.AuthService.RevokeSession": lambda owned: {"sessionId": owned.session_id()},
    "auth.v1.AuthService.EnrollTotp": OF_THE_CALLER,
    "auth.v1.AuthService.ConfirmTotp": OF_THE_CALLER,
    "auth.v1.AuthService.DisableTotp": OF_THE_CALLER,
    "auth.v1.AuthService.StepUp": OF_THE_CALLER,
    "auth.v1.AuthService.CreateApiKey": lambda owned: {"name": "x", "scopes": ["SCOPE_READ"], **owned.account},
    "auth.v1.AuthService.ListApiKeys": OF_THE_CALLER,
    "auth.v1.AuthService.RevokeApiKey": lambda owned: {"apiKeyId": owned.api_key_id()},
    "auth.v1.AuthService.Authorize": OF_THE_CALLER,
    "admin.v1.AdminService.CreateAdminToken": OF_THE_CALLER,
    "notify.v1.NotificationService.GetPreferences": OF_THE_CALLER,
    "notify.v1.NotificationService.UpdatePreferences": OF_THE_CALLER,
    "notify.v1.NotificationService.GetPhoneNumber": OF_THE_CALLER,
    "notify.v1.NotificationService.SetPhoneNumber": OF_THE_CALLER,
    "notify.v1.NotificationService.ConfirmPhoneNumber": OF_THE_CALLER,
    "notify.v1.NotificationService.DeletePhoneNumber": OF_THE_CALLER,
    "webhook.v1.WebhookService.CreateEndpoint": lambda owned: owned.webhook() | owned.account,
    "webhook.v1.WebhookService.ListEndpoints": OF_THE_CALLER,
    "webhook.v1.WebhookService.GetEndpoint": lambda owned: owned.endpoint(),
    "webhook.v1.WebhookService.UpdateEndpoint": lambda owned: owned.endpoint() | {"description": "x"},
    "webhook.v1.WebhookService.DeleteEndpoint": lambda owned: owned.endpoint(),
    "webhook.v1.WebhookService.RotateSecret": lambda owned: owned.endpoint(),
    "webhook.v1.WebhookService.ListDeliveries": lambda owned: owned.endpoint(),
    "webhook.v1.WebhookService.Redeliver": lambda owned: owned.endpoint() | {"after": owned.account},
    "webhook.v1.WebhookService.SendTest": lambda owned: owned.endpoint(),
    "account.v1.AccountService.CreateAccount": OF_THE_CALLER,
    "account.v1.AccountService.ListAccounts": OF_THE_CALLER,
    "account.v1.AccountService.GetAccount": lambda owned: owned.account,
    "account.v1.AccountService.UpdateAccount": lambda owned: owned.account | {"name": "other"},
    "account.v1.AccountService.CloseAccount": lambda owned: {"accountId": owned.spare_id()},
    "account.v1.AccountService.QuoteConversion": lambda owned: owned.conversion(),
    "account.v1.AccountService.CreateConversion": lambda owned: {"quoteId": owned.quote_id()},
    "account.v1.AccountService.ListBalances": lambda owned: owned.account,
    "account.v1.AccountService.ListPositions": lambda owned: owned.account,
    "account.v1.AccountService.GetBalanceAt": lambda owned: owned.account,
    "account.v1.AccountService.ExplainBalance": lambda owned: owned.account | {"asset": "USD"},
    "account.v1.AccountService.GetPortfolio": lambda owned: owned.account,
    "account.v1.AccountService.ListLedgerEntries": lambda owned: owned.account,
    "account.v1.AccountService.ListTransactions": lambda owned: owned.account,
    "account.v1.AccountService.StreamStatement": lambda owned: owned.account,
    "account.v1.AccountService.CreateTransfer": lambda owned: owned.transfer(),
    "account.v1.AccountService.GetTransfer": lambda owned: {"transferId": owned.transfer_id()},
    "account.v1.AccountService.StreamAccount": lambda owned: owned.account,
    "funding.v1.FundingService.CreateDeposit": lambda owned: owned.deposit(),
    "funding.v1.FundingService.GetDeposit": lambda owned: {"depositId": owned.deposit_id()},
    "funding.v1.FundingService.ListDeposits": OF_THE_CALLER,
    "funding.v1.FundingService.SubmitKyc": OF_THE_CALLER,
    "funding.v1.FundingService.GetKyc": OF_THE_CALLER,
    # A second factor and a level of KYC come first, which nobody here has: test_withdrawals.py asks with them.
    "funding.v1.FundingService.CreateBeneficiary": OF_THE_CALLER,
    "funding.v1.FundingService.CreateWithdrawal": OF_THE_CALLER,
    "funding.v1.FundingService.ListBeneficiaries": OF_THE_CALLER,
    "funding.v1.FundingService.DeleteBeneficiary": OF_THE_CALLER,
    "funding.v1.FundingService.GetWithdrawal": OF_THE_CALLER,
    "funding.v1.FundingService.ListWithdrawals": OF_THE_CALLER,
    "funding.v1.FundingService.CancelWithdrawal": OF_THE_CALLER,
    "order.v1.OrderService.PlaceOrder": lambda owned: owned.order(),
    "order.v1.OrderService.PlaceOrders": lambda owned: {"orders": [owned.order()]},
    "order.v1.OrderService.PlaceOco": lambda owned: {
        "orders": [
            owned.person.order("SELL", "9000", "0.01"),
            owned.person.order("SELL", "1000", "0.01", type="ORDER_TYPE_STOP_LIMIT", stopPrice="1000"),
        ]
    },
    "order.v1.OrderService.PreviewOrder": lambda owned: {"order": owned.order()},
    "order.v1.OrderService.AmendOrder": lambda owned: {"orderId": owned.order_id(), "quantity": "0.02"},
    "order.v1.OrderService.AmendOrders": lambda owned: {
        "amendments": [{"orderId": owned.order_id(), "quantity": "0.02"}]
    },
    "order.v1.OrderService.ReplaceOrder": lambda owned: {"orderId": owned.order_id(), "order": owned.order()},
    "order.v1.OrderService.CancelOrder": lambda owned: {"orderId": owned.order_id()},
    "order.v1.OrderService.CancelOrders": lambda owned: {"cancels": [{"orderId": owned.order_id()}]},
    "order.v1.OrderService.CancelAllOrders": lambda owned: owned.account,
    "order.v1.OrderService.CancelAllAfter": lambda owned: owned.account | {"timeout": "0s"},
    "order.v1.OrderService.GetOrder": lambda owned: {"orderId": owned.order_id()},
    "order.v1.OrderService.ListOrders": lambda owned: owned.account,
    "order.v1.OrderService.ListFills": lambda owned: owned.account,
    "order.v1.OrderService.GetRequestOutcome": lambda owned: {"requestId": str(uuid.uuid4()), **owned.account},
    "order.v1.OrderService.StreamOrders": lambda owned: owned.account,
    "order.v1.OrderService.Trade": lambda owned: {"commands": [{"start": owned.account}]},
}
# The owner is told the same for these: nothing is known of the request that is asked for.
FOUND_BY_NOBODY = {"order.v1.OrderService.GetRequestOutcome"}

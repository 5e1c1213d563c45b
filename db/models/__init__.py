"""The tables as typed rows. Engine-owned ones are written by the projector alone, set-based; services read them."""

from db.models.accounts import (
    AccountEventRow,
    AccountRow,
    BalanceRow,
    LimitsRow,
    PositionRow,
    PostingRow,
    TradingSessionRow,
    TransferRow,
)
from db.models.audit import AuditEntryRow
from db.models.book_snapshots import BookSnapshotRow
from db.models.credentials import ApiKeyRow, AuthorizationCodeRow, ClientRow, RecoveryCodeRow, TotpRow
from db.models.deposits import DepositRow, ProviderEventRow, ReversalRow, SignupBonusRow
from db.models.journal import JournalBatchRow, MachineRow, PartitionRow, ProjectionRow, RequestRow
from db.models.kyc import KycSubmissionRow
from db.models.markets import AssetRow, FeesRow, MarketRow
from db.models.orders import OrderRow
from db.models.outgoing import NotificationPreferenceRow, OutgoingRow
from db.models.pending_actions import PendingActionRow
from db.models.price_ticks import PriceTickRow
from db.models.row import Row
from db.models.trades import CandleRow, TradeRow
from db.models.users import (
    LoginPlaceRow,
    MailedTokenRow,
    RefreshTokenRow,
    SessionRow,
    UserRow,
    VerificationTokenRow,
)
from db.models.webhooks import (
    WebhookCursorRow,
    WebhookDeliveryRow,
    WebhookEndpointRow,
    WebhookReplayRow,
    WebhookSecretRow,
)
from db.models.withdrawals import BeneficiaryRow, WithdrawalRow

__all__ = [
    "AccountEventRow",
    "AccountRow",
    "ApiKeyRow",
    "AssetRow",
    "AuditEntryRow",
    "AuthorizationCodeRow",
    "BalanceRow",
    "BeneficiaryRow",
    "BookSnapshotRow",
    "CandleRow",
    "ClientRow",
    "DepositRow",
    "FeesRow",
    "JournalBatchRow",
    "KycSubmissionRow",
    "LimitsRow",
    "LoginPlaceRow",
    "MachineRow",
    "MailedTokenRow",
    "MarketRow",
    "NotificationPreferenceRow",
    "OrderRow",
    "OutgoingRow",
    "PartitionRow",
    "PendingActionRow",
    "PositionRow",
    "PostingRow",
    "PriceTickRow",
    "ProjectionRow",
    "ProviderEventRow",
    "RecoveryCodeRow",
    "RefreshTokenRow",
    "RequestRow",
    "ReversalRow",
    "Row",
    "SessionRow",
    "SignupBonusRow",
    "TotpRow",
    "TradeRow",
    "TradingSessionRow",
    "TransferRow",
    "UserRow",
    "VerificationTokenRow",
    "WebhookCursorRow",
    "WebhookDeliveryRow",
    "WebhookEndpointRow",
    "WebhookReplayRow",
    "WebhookSecretRow",
    "WithdrawalRow",
]

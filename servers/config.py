"""Settings, read once from the environment (`VENUE_...`) by `main`, `cli` and the migrations, and handed on as values.

A name is the field's, in capitals behind the prefix: `order_port` is `VENUE_ORDER_PORT`. Seconds end in `_s`, days in
`_days`.
"""

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    IPvAnyNetwork,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from servers.embedded.addresses import postgres_url, sockets_of, valkey_url
from servers.embedded.logins import LoginSettings
from servers.embedded.messaging import MessageSettings
from servers.embedded.secrecy import SecrecySettings, is_loopback

Port = Annotated[int, Field(ge=1, le=65535)]
PositiveInt = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0)]
Environment = Literal["LIVE", "DEMO"]
Amount = Annotated[str, Field(pattern=r"^[0-9]{1,12}(\.[0-9]{1,2})?$")]
Bucket = Literal["PUBLIC", "LOGIN", "READ", "ORDER", "CANCEL", "STREAM", "ADMIN"]

PROCESSES = ("order", "replica", "marketdata", "api", "bot", "feed", "notify")


class BadSettingsError(Exception):
    """One line a wrong variable, each with the variable's name first."""


class Settings(LoginSettings, MessageSettings, SecrecySettings, BaseSettings):
    """Every setting with its default, which is the one of the embedded venue."""

    model_config = SettingsConfigDict(env_prefix="VENUE_", frozen=True, extra="ignore", validate_default=True)

    # Which servers keep the state. Without an address the embedded server is used.
    database_url: SecretStr | None = None
    redis_url: SecretStr | None = None
    envoy_bin: Path | None = None
    # A Python 3.12 for the one program that `venue bench` compares with; the one on PATH where it is not set.
    python312: Path | None = None
    # The folder of the browser terminal; the checkout's own where it is not set.
    web_root: Path | None = None

    # Ports, all on `host` but the gateway's (`gateway_host`) and its two of administration (loopback); below 32768, where Linux
    # begins to pick ports for outgoing connections. Elsewhere than on loopback with VENUE_MTLS alone.
    host: str = "127.0.0.1"
    # Of administration, which answers to these addresses and networks alone: of this machine, or of what forwards to it.
    admin_port: Port = 8090
    admin_allowlist: list[IPvAnyNetwork] = [ip_network("127.0.0.0/8")]
    envoy_admin_port: Port = 9901
    order_port: Port = 15051
    api_port: Port = 15052
    marketdata_port: Port = 15053
    replica_port: Port = 15054
    postgres_port: Port = 15432
    redis_port: Port = 16379
    order_metrics_port: Port = 9101
    api_metrics_port: Port = 9102
    marketdata_metrics_port: Port = 9103
    replica_metrics_port: Port = 9104
    bot_metrics_port: Port = 9105
    feed_metrics_port: Port = 9106
    notify_metrics_port: Port = 9107

    # The engine.
    partitions: dict[PositiveInt, Environment] = {1: "LIVE", 2: "DEMO"}
    # The markets of a partition that is not the first of its environment; all others are in that one.
    listings: dict[PositiveInt, set[str]] = {}
    # Those that an `order` process leads or waits to lead; all of them where it is not set. It forwards to the others.
    leads: set[PositiveInt] | None = None
    # Further `order` processes that the gateway sends to, as address:port.
    order_others: list[Annotated[str, Field(pattern=r"^[0-9.]+:[0-9]{1,5}$")]] = []
    # Further `marketdata` processes that `venue up` runs: the gRPC port and the metrics port of each.
    marketdata_more: Annotated[list[tuple[Port, Port]], Field(max_length=8)] = []
    # Those elsewhere that the gateway sends to as well, as address:port; a `marketdata` process asks them for streams it has not.
    marketdata_others: list[Annotated[str, Field(pattern=r"^[0-9.]+:[0-9]{1,5}$")]] = []
    # Which of several like processes on one state folder this is: the end of the name of its pid file.
    instance: Annotated[str, Field(pattern=r"^(-[0-9]{1,2})?$")] = ""
    default_environment: Environment = "DEMO"
    lease_s: PositiveFloat = 2.0
    batch_max: PositiveInt = 400
    queue_max: PositiveInt = 20_000
    request_memory: PositiveInt = 200_000
    projector_lag_max: PositiveInt = 100_000
    # Days after which the replica lets go of request ids (those of money movements apart), of account events and of the
    # journal; 0: never.
    requests_days: Annotated[int, Field(ge=0)] = 1
    transfer_requests_days: Annotated[int, Field(ge=0)] = 30
    account_events_days: Annotated[int, Field(ge=0)] = 0
    journal_days: Annotated[int, Field(ge=0)] = 0
    # How often the replica puts books down, in seconds (0: never), and for how many days they are kept (0: for ever).
    book_snapshot_s: Annotated[float, Field(ge=0)] = 60.0
    book_snapshots_days: Annotated[int, Field(ge=0)] = 7
    # How long the raw ticks of sources are kept; a whole hour is dropped at once, up to an hour later.
    price_ticks_hours: PositiveInt = 24
    # Accounts that a user may open, of each type.
    accounts_max: PositiveInt = 20

    # Streams and shutdown. Book changes are told together, once a window; 0: each by itself.
    book_window_s: Annotated[float, Field(ge=0)] = 0.1
    heartbeat_s: PositiveFloat = 15.0
    grace_s: PositiveFloat = 5.0

    # Identity.
    # No longer than any server believes a token (servers/transport/identity.py).
    access_ttl_s: Annotated[int, Field(ge=60, le=900)] = 900
    refresh_ttl_days: PositiveInt = 30
    # The keys of encrypted fields (db/sealing.py): entries `id:base64`, divided by white space or commas; the first one seals,
    # the entry `index` is for blind indexes. In the file, else in the variable, else made in the state folder.
    field_keys: SecretStr | None = None
    field_keys_file: Path | None = None
    # Where links in mails point; the gateway's own address where it is not set.
    public_url: str = ""
    cors_origins: list[str] = ["http://localhost:5173", "http://127.0.0.1:5173"]

    # Limits of a caller other than the transport's own: {"ORDER": [calls a second, how many at once]}.
    rates: dict[Bucket, tuple[PositiveFloat, PositiveFloat]] = {}
    # Orders of an account, in the same form: by its tier, and for tiers that are not named by its environment. Cancels are
    # counted apart, at ten times the rate.
    order_rates: dict[str, tuple[PositiveFloat, PositiveFloat]] = {
        "LIVE": (10, 20),
        "DEMO": (10_000, 50_000),
        "market_maker": (10_000, 50_000),
        "replay": (1_000_000, 1_000_000),
    }
    # Calls a minute of one address without a credential, counted by the gateway; where it is not set 100 in production (LIVE),
    # and in the embedded venue, whose page, tests and benchmark share one loopback address, as many as the flood limit lets in.
    anonymous_per_minute: PositiveInt | None = None
    # Proxies before the gateway that append the caller's address to x-forwarded-for.
    trusted_hops: Annotated[int, Field(ge=0, le=10)] = 0
    in_flight_max: PositiveInt = 2_000
    streams_max: PositiveInt = 2_000
    # How often the head of the audit log is signed and told to the outside, if it moved.
    audit_anchor_s: PositiveFloat = 60.0
    # What one person proposes another has to approve within this time.
    pending_action_s: PositiveFloat = 86_400.0

    # Money in and out (docs/funding.md). Without a key Stripe is simulated where DEMO is the default, and not there elsewhere. Of
    # several webhook secrets each is good: so one is replaced.
    stripe_api_key: SecretStr | None = None
    stripe_webhook_secrets: list[SecretStr] = []
    # Where Stripe is, if not at its own address.
    stripe_url: str | None = None
    # The financial account that Stripe pays withdrawals from; without it, Stripe pays none.
    stripe_financial_account: str = ""
    # What a bank transfer has to know, by asset: {"USD": "IBAN ..."}. Other assets are not taken by bank transfer.
    bank_instructions: dict[str, str] = {"USD": "No real bank: an administrator confirms it."}
    # What a first deposit of real money brings, by asset: from how much on, and how much.
    signup_bonus: dict[str, tuple[Amount, Amount]] = {"USD": ("100", "10")}
    # Conversions (docs/wallet.md): the house's share, seconds that a quote holds, the most of a market's quote asset at once.
    conversion_spread: Annotated[str, Field(pattern=r"^0(\.[0-9]{1,8})?$")] = "0.005"
    conversion_quote_s: Annotated[float, Field(gt=0, le=300)] = 10.0
    conversion_max: Amount = "100000"
    # Markets whose own book is deep enough to be believed where nobody tells an index price.
    conversion_books: list[str] = []
    # What may go out, by level of KYC: US dollars within 24 hours and within 30 days; from how much on two people approve it;
    # what a unit of each asset that goes out counts as, in dollars.
    withdrawal_limits: dict[Annotated[int, Field(ge=1, le=2)], tuple[Amount, Amount]] = {
        1: ("2000", "10000"),
        2: ("100000", "500000"),
    }
    withdrawal_review: Amount = "5000"
    # From how much on, in dollars, people are told of what comes in or goes out at once.
    large_move: Amount = "10000"
    withdrawal_rates: dict[Literal["USD", "EUR"], Amount] = {"USD": "1", "EUR": "1.25"}
    # Seconds until a new beneficiary is good for anything; unset: a day, and half a minute where DEMO is the default.
    beneficiary_cooling_s: PositiveFloat | None = None
    # Screening: countries of high risk, and a file with names that nothing goes to, a line each.
    risky_countries: list[Annotated[str, Field(pattern=r"^[A-Z]{2}$")]] = ["IR", "KP"]
    screened_names_file: Path | None = None

    # Prices from outside (docs/feeds.md). Simulated sources are for demo markets alone; unset: where DEMO is the default.
    feed_simulated: bool | None = None
    # In order of preference; of exchanges the names that ccxt has for them.
    feed_sources: list[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]] = []
    # Environments whose markets get index prices; unset: DEMO where sources are simulated, else all.
    feed_environments: set[Environment] | None = None
    feed_usdt: Literal["par", "rate"] = "par"
    # Names that a source has for further pairs: {"binance": {"DOGE-USDT": "DOGEUSDT"}}.
    feed_names: dict[str, dict[str, str]] = {}
    feed_pace_s: PositiveFloat = 1.0
    feed_step_bps: Annotated[int, Field(ge=0, le=1000)] = 1
    feed_refresh_s: PositiveFloat = 10.0
    # How long an index price holds without being set again, whoever set it (0: for ever); more than feed_refresh_s.
    index_stale_s: Annotated[float, Field(ge=0)] = 60.0
    feed_poll_s: dict[str, Annotated[float, Field(ge=1)]] = {}
    binance_url: str = "wss://stream.binance.com:9443"
    yahoo_url: str = "https://query1.finance.yahoo.com"
    coinmarketcap_url: str = "https://pro-api.coinmarketcap.com"
    coinmarketcap_key: SecretStr | None = None

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    # The embedded venue's own users and market maker; a production deployment turns both off.
    seed_users: bool = True
    bot_enabled: bool = True
    # For tests alone: a file that says where a process is to end itself (db/crash_points.py).
    crash_points: Path | None = None

    @classmethod
    def load(cls) -> Self:
        """Raises BadSettingsError naming every variable that is wrong."""
        try:
            return cls()
        except ValidationError as error:
            lines = [line_of(entry["loc"], entry["msg"]) for entry in error.errors(include_input=False)]
            raise BadSettingsError("\n".join(lines)) from None
        except SettingsError as error:
            name = next((field for field in cls.model_fields if f'"{field}"' in str(error)), "a setting")
            raise BadSettingsError(f"{variable((name,))}: Input should be JSON") from None

    @field_validator("host")
    @classmethod
    def _plain_at_home(cls, host: str, info: ValidationInfo) -> str:
        if not is_loopback(host) and not info.data.get("mtls"):
            raise ValueError("is not loopback, where servers speak without TLS: set VENUE_MTLS=true")
        return host

    @field_validator("leads")
    @classmethod
    def _known(cls, leads: set[int] | None, info: ValidationInfo) -> set[int] | None:
        if leads is not None and not leads <= set(info.data.get("partitions", leads)):
            raise ValueError("names a partition that VENUE_PARTITIONS does not have")
        return leads

    @field_validator("smtp_url")
    @classmethod
    def _reachable(cls, address: SecretStr | None) -> SecretStr | None:
        if address is not None:
            from servers.notify.smtp import Smtp

            Smtp(address.get_secret_value(), "")
        return address

    @field_validator("listings")
    @classmethod
    def _listed_once(cls, listings: dict[int, set[str]], info: ValidationInfo) -> dict[int, set[str]]:
        partitions = info.data.get("partitions", {})
        seen: set[tuple[str, str]] = set()
        for number, symbols in listings.items():
            earlier = [name for other, name in partitions.items() if other < number]
            if partitions.get(number) not in earlier:
                raise ValueError(f"{number} is not a partition beside the first of its environment")
            named = {(partitions[number], symbol) for symbol in symbols}
            if named & seen:
                raise ValueError(f"{number} has a market that another partition has")
            seen |= named
        return listings

    @property
    def moved(self) -> dict[tuple[Environment, str], int]:
        """The partitions of the markets that are not in the first of their environment."""
        return {
            (self.partitions[number], symbol): number for number, found in self.listings.items() for symbol in found
        }

    def lists(self, partition: int, symbol: str) -> bool:
        """Whether a market is in a partition."""
        name = self.partitions[partition]
        first = min(number for number, other in self.partitions.items() if other == name)
        return self.moved.get((name, symbol), first) == partition

    @field_validator("crash_points")
    @classmethod
    def _harmless(cls, order: Path | None, info: ValidationInfo) -> Path | None:
        if order is not None and info.data.get("default_environment") != "DEMO":
            raise ValueError("is for tests, never where the default environment is LIVE")
        return order

    @field_validator("field_keys")
    @classmethod
    def _keys(cls, keys: SecretStr | None) -> SecretStr | None:
        if keys is not None:
            from db.sealing import parse  # only who sets keys pays for it

            parse(keys.get_secret_value())
        return keys

    def read_field_keys(self) -> str:
        """The entries of the keys of encrypted fields as they are now."""
        if self.field_keys_file is not None:
            return self.field_keys_file.read_text(encoding="utf-8")
        if self.field_keys is not None:
            return self.field_keys.get_secret_value()
        from db.sealing import INDEX, new_entry

        return self.state.secret("field-keys", lambda: f"{new_entry()}\n{new_entry(INDEX)}\n")

    @property
    def simulates(self) -> bool:
        """Whether the sources of prices are simulated."""
        return self.default_environment == "DEMO" if self.feed_simulated is None else self.feed_simulated

    @property
    def feeds(self) -> bool:
        """Whether there are any sources of prices."""
        return self.simulates or bool(self.feed_sources)

    @property
    def fed(self) -> set[Environment]:
        """The environments whose markets get index prices."""
        if self.feed_environments is not None:
            return self.feed_environments
        return {name for name in self.partitions.values() if name == "DEMO" or not self.simulates}

    @model_validator(mode="after")
    def _outside(self) -> Self:
        if self.simulates and "LIVE" in self.fed:
            raise ValueError("VENUE_FEED_ENVIRONMENTS: simulated prices are never for LIVE markets")
        if "coinmarketcap" in self.feed_sources and not self.simulates and self.coinmarketcap_key is None:
            raise ValueError("VENUE_COINMARKETCAP_KEY: is needed for the source coinmarketcap")
        return self

    @property
    def cooling_s(self) -> float:
        """How long a new beneficiary is not good for anything."""
        return self.beneficiary_cooling_s or (86_400.0 if self.default_environment == "LIVE" else 30.0)

    @property
    def screened_names(self) -> list[str]:
        """The names that nothing goes to; of the embedded venue one that nobody has. Raises OSError."""
        if self.screened_names_file is None:
            return ["Ivan Testname Sanctioned"]
        return self.screened_names_file.read_text(encoding="utf-8").splitlines()

    @model_validator(mode="after")
    def _paid(self) -> Self:
        if (self.stripe_api_key is None) != (not self.stripe_webhook_secrets):
            raise ValueError("VENUE_STRIPE_API_KEY: comes with VENUE_STRIPE_WEBHOOK_SECRETS")
        return self

    @property
    def led(self) -> list[int]:
        """The partitions that an `order` process leads or waits to lead."""
        return [number for number in self.partitions if self.leads is None or number in self.leads]

    @property
    def anonymous_rate(self) -> int:
        """Calls a minute of one address without a credential."""
        return self.anonymous_per_minute or (100 if self.default_environment == "LIVE" else 1_200_000)

    @property
    def database(self) -> str:
        """The address of PostgreSQL: the given one, or the embedded server's (its password is made on first use)."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return postgres_url(self.state.secret("postgres"), self.postgres_port, sockets=sockets_of(self.state.pg))

    @property
    def redis(self) -> str:
        """The address of the Redis-protocol server: the given one, or the embedded server's."""
        if self.redis_url is not None:
            return self.redis_url.get_secret_value()
        return valkey_url(self.state.secret("valkey"), self.redis_port)

    @property
    def marketdata_ports(self) -> list[tuple[int, int]]:
        """The gRPC and metrics ports of the `marketdata` processes that `venue up` runs."""
        return [(self.marketdata_port, self.marketdata_metrics_port), *self.marketdata_more]

    @property
    def marketdata_addresses(self) -> list[str]:
        """Everyone who serves market data, those that `venue up` runs first."""
        return [f"{self.host}:{port}" for port, _ in self.marketdata_ports] + self.marketdata_others

    @property
    def admin_url(self) -> str:
        return f"{self.gateway_url.partition(':')[0]}://127.0.0.1:{self.admin_port}"

    def port(self, process: str) -> int | None:
        """The gRPC port of a process, None where it serves nothing."""
        return None if process in {"bot", "feed", "notify"} else int(getattr(self, f"{process}_port"))

    def metrics_port(self, process: str) -> int:
        return int(getattr(self, f"{process}_metrics_port"))


def line_of(location: tuple[int | str, ...], message: str) -> str:
    """What is wrong, behind its variable; what concerns several names one itself."""
    return f"{variable(location)}: {message}" if location else message.removeprefix("Value error, ")


def variable(location: tuple[int | str, ...]) -> str:
    """The environment variable of an error's location; what is inside a value follows it in brackets."""
    name, *inside = location
    return f"VENUE_{str(name).upper()}" + "".join(f"[{part}]" for part in inside)

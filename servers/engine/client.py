"""How every room reaches the machine: the same interface in the leader's process and over gRPC."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from servers.domain.errors import AccountNotFound, MarketNotFound, OrderNotFound, PartUnavailable, VenueError
from servers.domain.identifiers import account_environment, account_partition, find_order
from venue.engine.v1 import engine_pb2 as pb


class Engine(Protocol):
    """One partition's machine."""

    @property
    def partition(self) -> int: ...

    async def submit(self, commands: Sequence[pb.Command], timeout_s: float | None) -> list[bytes | VenueError]:
        """Execute commands in order: answers' wire bytes or refusals, once durable.

        Raises Overloaded and NotLeader (nothing was executed, nor will be), PartUnavailable (outcome unknown: repeat).
        """
        ...

    async def query(self, request: pb.QueryRequest) -> pb.QueryResponse:
        """Read memory; the answer is durable. Raises VenueError."""
        ...

    def tail(self, after_sequence: int) -> AsyncIterator[pb.TailResponse]:
        """Committed batches after a sequence, for ever, each with those that came with it. Raises NotLeader, PartUnavailable."""
        ...


EngineT_co = TypeVar("EngineT_co", bound=Engine, covariant=True)


class Engines(Generic[EngineT_co]):
    """The partitions, and which of them a thing belongs to.

    Of several in one environment the first serves whatever names no partition; `every` has them all, and
    `listings` the (environment, symbol) of markets that are in another one.
    """

    def __init__(
        self,
        by_environment: Mapping[int, EngineT_co],
        every: Iterable[EngineT_co] = (),
        listings: Mapping[tuple[int, str], int] | None = None,
    ) -> None:
        self._listings = dict(listings or {})
        self._by_environment = dict(by_environment)
        self._by_partition = {engine.partition: engine for engine in (*every, *by_environment.values())}

    @property
    def all(self) -> list[EngineT_co]:
        """Every partition's engine."""
        return list(self._by_partition.values())

    def for_environment(self, environment: int) -> EngineT_co:
        """Raises MarketNotFound: the deployment does not serve the environment."""
        engine = self._by_environment.get(environment)
        if engine is None:
            raise MarketNotFound("")
        return engine

    def for_market(self, environment: int, symbol: str) -> EngineT_co:
        """The partition of a market; the first of the environment where none is named. Raises MarketNotFound."""
        partition = self._listings.get((environment, symbol))
        return self.for_environment(environment) if partition is None else self._by_partition[partition]

    def beside(self, environment: int) -> dict[str, EngineT_co]:
        """The partitions of the environment's markets that are not in its first one, by symbol."""
        return {symbol: self._by_partition[n] for (where, symbol), n in self._listings.items() if where == environment}

    def for_partition(self, partition: int) -> EngineT_co:
        """Raises PartUnavailable."""
        engine = self._by_partition.get(partition)
        if engine is None:
            raise PartUnavailable(f"partition {partition}")
        return engine

    def for_account(self, account_id: str) -> EngineT_co:
        """Raises AccountNotFound."""
        partition = account_partition(account_id)
        engine = (
            self._by_partition.get(partition)
            if partition
            else self._by_environment.get(account_environment(account_id))
        )
        if engine is None:
            raise AccountNotFound(account_id)
        return engine

    def for_order(self, order_id: str) -> EngineT_co:
        """Raises OrderNotFound."""
        found = find_order(order_id)
        engine = self._by_partition.get(found[0]) if found else None
        if engine is None:
            raise OrderNotFound(order_id)
        return engine

"""A recording: the stamped commands of a small venue's life as the journal has them, and what they caused, in a few hashes.

What is compared is what others were told (answers, account records, books, markets, balances) and the digest that a replica
compares, so a new field of the model that nothing shows changes no recording.
"""

import json
import lzma
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from servers.domain.errors import VenueError
from servers.domain.exchange import Exchange
from servers.domain.terms import Environment
from servers.engine.answers import answer
from servers.engine.codec import decode
from servers.engine.effects import effects
from servers.engine.queries import read
from tests.property.traffic import PARTITION
from venue.engine.v1 import engine_pb2 as pb

FOLDER: Final = Path(__file__).parent
MEMORY: Final = 300
# After so many commands each there is one line of hashes, so that a difference has a place.
STRETCH: Final = 200


@dataclass(frozen=True)
class Outcome:
    """Of each stretch its digest and the hash of what was told; what is held in the end; how many commands of each kind."""

    stretches: list[list[str]]
    held: str
    kinds: dict[str, int]


def path_of(version: int) -> Path:
    """The commands of a version of the rules; what came of them stands beside, in JSON."""
    return FOLDER / f"rules-{version}.journal.xz"


def read_commands(version: int) -> list[pb.Command]:
    return list(pb.CommandBatch.FromString(lzma.decompress(path_of(version).read_bytes())).commands)


def read_outcome(version: int) -> Outcome:
    return Outcome(**json.loads(path_of(version).with_suffix("").with_suffix(".json").read_text()))


def write(version: int, commands: Iterable[pb.Command], outcome: Outcome) -> None:
    raw = pb.CommandBatch(commands=commands).SerializeToString(deterministic=True)
    path_of(version).write_bytes(lzma.compress(raw))
    told = json.dumps(asdict(outcome), indent=1) + "\n"
    path_of(version).with_suffix("").with_suffix(".json").write_text(told)


def replay(commands: Iterable[pb.Command]) -> Outcome:
    """What comes of commands today. Raises AssertionError where one is refused that was not."""
    exchange = Exchange(PARTITION, Environment.DEMO, MEMORY)
    stretches, kinds, told = [], Counter[str](), sha256()
    for message in commands:
        kind = message.WhichOneof("body") or ""
        try:
            command = decode(message)
            events = exchange.execute(command)
        except VenueError as refusal:
            raise AssertionError(f"command {message.sequence} ({kind}) is refused: {refusal.reason}") from refusal
        kinds[kind] += 1
        told.update(answer(exchange, command, events))
        for account_id, previous, record in effects(exchange, command.sequence, command.time, events).accounts:
            told.update(f"{account_id} {previous} ".encode() + record)
        if message.sequence % STRETCH == 0:
            stretches.append([str(exchange.clock.digest), told.hexdigest()])
            told = sha256()
    stretches.append([str(exchange.clock.digest), told.hexdigest()])
    return Outcome(stretches, _held(exchange), dict(sorted(kinds.items())))


def _held(exchange: Exchange) -> str:
    """The hash of everything that can be read in the end."""
    queries = [pb.QueryRequest(markets=pb.MarketsQuery())]
    queries += [pb.QueryRequest(book=pb.BookQuery(symbol=symbol)) for symbol in sorted(exchange.floor.markets)]
    for account in exchange.ledger.accounts.values():
        if account.user_id:
            queries.append(pb.QueryRequest(balances=pb.BalancesQuery(account_id=account.account_id)))
            queries.append(pb.QueryRequest(open_orders=pb.OpenOrdersQuery(account_id=account.account_id)))
    held = sha256()
    for query in queries:
        held.update(read(exchange, query, exchange.clock.sequence).SerializeToString(deterministic=True))
    return held.hexdigest()

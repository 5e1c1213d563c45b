"""Batches: commands of one call, each with an outcome of its own, sent to the partitions they belong to."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from google.protobuf.message import Message

from servers.domain.errors import VenueError
from servers.engine.client import Engine, Engines
from servers.engine.codec import fingerprint
from servers.engine.delimited import field, repeated
from servers.transport.call import Call
from servers.transport.errors import to_status
from venue.engine.v1 import engine_pb2 as pb

Outcome = bytes | VenueError
# Of every batch's response and result: the results; of a result its answer and its error.
_RESULTS: Final = 1
_ANSWER: Final = 1
_ERROR: Final = 2
# A command of a batch, the request_id its caller gave it, and how to find the partition that it belongs to.
Item: TypeAlias = tuple[pb.Command, str, Callable[[], Engine]]


async def submit_batch(
    engines: Engines[Engine], request: Message, request_id: str, items: Sequence[Item], call: Call
) -> list[Outcome]:
    """The outcomes of the items of a request, in order. Raises VenueError where nothing was executed."""
    outcomes: dict[int, Outcome] = {}
    by_partition: defaultdict[int, list[int]] = defaultdict(list)
    batch = fingerprint(request) if request_id else b""
    found: dict[Callable[[], Engine], int] = {}
    for index, (command, own_id, route) in enumerate(items):
        if request_id and not own_id:
            command.request_id = item_id(request_id, index)
            command.batch = batch
        try:
            partition = found.get(route)
            if partition is None:
                partition = found[route] = route().partition
            by_partition[partition].append(index)
        except VenueError as error:
            outcomes[index] = error

    async def submit(partition: int, indices: Sequence[int]) -> None:
        chosen = [items[index][0] for index in indices]
        results: list[Outcome]
        try:
            if request_id:
                results = await _submit_under(request_id, batch, engines.for_partition(partition), chosen, call)
            else:
                results = await engines.for_partition(partition).submit(chosen, call.timeout_s)
        except VenueError as error:
            if len(by_partition) == 1:
                raise
            # What another partition did with its part of the batch stands.
            results = [error] * len(chosen)
        outcomes.update(zip(indices, results, strict=True))

    if len(by_partition) == 1:
        await submit(*next(iter(by_partition.items())))
    else:
        await asyncio.gather(*(submit(partition, indices) for partition, indices in by_partition.items()))
    return [outcomes[index] for index in range(len(items))]


async def _submit_under(
    request_id: str, batch: bytes, engine: Engine, commands: Sequence[pb.Command], call: Call
) -> list[Outcome]:
    """The outcomes of commands that come under an id of their batch.

    Raises RequestIdReused where it was another's, and what else speaks against all of them.
    """
    begin = pb.Command(user_id=call.identity.user_id, request_id=request_id, batch=batch, begin_batch=pb.BeginBatch())
    begun, *results = await engine.submit((begin, *commands), call.timeout_s)
    if isinstance(begun, VenueError):
        raise begun
    return results


def item_id(request_id: str, index: int) -> str:
    """What an item of a batch is remembered under."""
    return f"{request_id.lower()}#{index}"


def joined(outcomes: Sequence[Outcome]) -> bytes:
    """The serialized response of a batch: all of them have the same shape."""
    return repeated(_RESULTS, [_result(outcome) for outcome in outcomes])


def _result(outcome: Outcome) -> bytes:
    if isinstance(outcome, VenueError):
        return field(_ERROR, to_status(outcome).SerializeToString())
    return field(_ANSWER, outcome)

"""How the venue is: what its tables say of partitions, and what each process says of itself on its metrics port."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import httpx
from google.protobuf.timestamp_pb2 import Timestamp
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy.ext.asyncio import AsyncEngine

from db import overview, pending_actions
from servers.transport.call import OURS
from venue.admin.v1 import admin_pb2 as pb

SCRAPE_S: Final = 1.0


@dataclass(slots=True)
class Scraped:
    """What a process says of itself."""

    status: pb.ProcessStatus
    queued: dict[int, int] = field(default_factory=dict)
    # How far what the replica writes is, by partition and reader.
    readers: dict[tuple[int, str], int] = field(default_factory=dict)


class Status:
    """Looks at everything at once. `metrics` are the addresses of the processes' metrics by name."""

    def __init__(self, engine: AsyncEngine, metrics: Mapping[str, str], client: httpx.AsyncClient) -> None:
        self._engine = engine
        self._metrics = metrics
        self._client = client

    async def look(self) -> pb.SystemStatus:
        """Raises PartUnavailable where the database is away. A process that is away is said to be."""
        scraping = asyncio.gather(*(self._scrape(name, url) for name, url in self._metrics.items()))
        found, undone, scraped = await asyncio.gather(
            overview.look(self._engine), pending_actions.count_undone(self._engine), scraping
        )
        queued = {partition: count for each in scraped for partition, count in each.queued.items()}
        for each in found.partitions:
            # The tables know of their own reader alone.
            far = {name: at for told in scraped for (n, name), at in told.readers.items() if n == each.row.partition}
            each.readers.update({name: at for name, at in far.items() if name not in each.readers})
        now = Timestamp()
        now.FromNanoseconds(time.time_ns())
        return pb.SystemStatus(
            partitions=[_partition(each, queued.get(each.row.partition, 0)) for each in found.partitions],
            processes=[each.status for each in scraped],
            actions_proposed=undone.get(pending_actions.PROPOSED, 0),
            actions_approved=undone.get(pending_actions.APPROVED, 0),
            audit_sequence=found.audit_sequence,
            time=now,
        )

    async def _scrape(self, name: str, url: str) -> Scraped:
        try:
            answer = await self._client.get(url, timeout=SCRAPE_S)
        except httpx.HTTPError:
            return Scraped(pb.ProcessStatus(process=name))
        if answer.status_code != httpx.codes.OK:
            return Scraped(pb.ProcessStatus(process=name))
        return read_metrics(name, answer.text)


def read_metrics(name: str, text: str) -> Scraped:
    """What the metrics of a process say."""
    scraped = Scraped(pb.ProcessStatus(process=name, answering=True))
    status = scraped.status
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            match sample.name:
                case "venue_streams_open":
                    status.streams_open += int(sample.value)
                case "venue_rpc_total":
                    status.calls += int(sample.value)
                    status.faults += int(sample.value) if sample.labels["code"] in OURS else 0
                case "venue_event_loop_lag_seconds":
                    status.loop_lag_us = int(sample.value * 1_000_000)
                case "venue_replica_sequence" if sample.labels["reader"] != "machine":
                    place = int(sample.labels["partition"]), sample.labels["reader"]
                    scraped.readers[place] = int(sample.value)
                case "venue_engine_queued_commands":
                    scraped.queued[int(sample.labels["partition"])] = int(sample.value)
    return scraped


def _partition(found: overview.PartitionOverview, queued: int) -> pb.PartitionStatus:
    row = found.row
    return pb.PartitionStatus(
        partition=row.partition,
        environment=row.environment,  # type: ignore[arg-type]  # the domain's numbers are the wire's
        epoch=row.epoch,
        leader=row.holder,
        leader_address=row.address,
        led=found.led,
        last_sequence=row.last_sequence,
        halted_reason=row.halted_reason or "",
        rules_version=row.rules_version,
        queued=queued,
        readers=[
            pb.ReaderStatus(reader=reader, sequence=sequence, behind=max(0, row.last_sequence - sequence))
            for reader, sequence in found.readers.items()
        ],
    )

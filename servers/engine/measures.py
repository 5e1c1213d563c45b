"""What waits for the machine, and where a replica is: gauges for Prometheus."""

from collections.abc import Mapping
from functools import partial
from typing import Protocol

from prometheus_client import REGISTRY, CollectorRegistry, Gauge


class ReplicaMeasures:
    """Sequences by partition: executed, and written by each of the two writers."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._sequence = Gauge(
            "venue_replica_sequence",
            "The last command executed (machine) or written (tables, bus).",
            ["partition", "reader"],
            registry=registry,
        )
        self._behind = Gauge(
            "venue_replica_behind_commands",
            "How many executed commands are not written yet.",
            ["partition", "reader"],
            registry=registry,
        )
        self._halted = Gauge(
            "venue_replica_halted", "1 once this replica stopped its partition.", ["partition"], registry=registry
        )

    def tell(self, partition: int, machine: int, tables: int, bus: int) -> None:
        """Set a partition's gauges."""
        for reader, sequence in (("machine", machine), ("tables", tables), ("bus", bus)):
            self._sequence.labels(partition, reader).set(sequence)
        for reader, sequence in (("tables", tables), ("bus", bus)):
            self._behind.labels(partition, reader).set(max(0, machine - sequence))

    def halted(self, partition: int) -> None:
        """Mark a partition as stopped."""
        self._halted.labels(partition).set(1)


class Queued(Protocol):
    """What has a queue."""

    @property
    def queued(self) -> int: ...


def measure_queues(engines: Mapping[int, Queued], registry: CollectorRegistry = REGISTRY) -> None:
    """A gauge of what waits in each partition, asked at every scrape."""
    gauge = Gauge(
        "venue_engine_queued_commands", "Commands that wait for the machine.", ["partition"], registry=registry
    )
    for partition, engine in engines.items():
        gauge.labels(partition).set_function(partial(_queued, engine))


def _queued(engine: Queued) -> int:
    return engine.queued


class Leading(Protocol):
    """What sees whether its partition is halted."""

    @property
    def halted(self) -> bool: ...


def measure_halts(leaders: Mapping[int, Leading], registry: CollectorRegistry = REGISTRY) -> None:
    """A gauge of whether each partition is halted, by whomever. Here, as a replica that has none left ends."""
    gauge = Gauge(
        "venue_partition_halted",
        "1 while the partition is halted: it takes no command until a person has looked.",
        ["partition"],
        registry=registry,
    )
    for partition, leader in leaders.items():
        gauge.labels(partition).set_function(partial(_halted, leader))


def _halted(leader: Leading) -> bool:
    return leader.halted

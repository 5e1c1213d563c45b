"""What frames say of the partitions that they are of, and how far these were told."""

import time
from typing import Final

from servers.domain.errors import PositionInvalid
from servers.domain.identifiers import position_text, positions
from servers.engine.messages import timestamp
from venue.marketdata.v1 import marketdata_pb2 as pb

RESUME_AFTER: Final = "resume_after"


class Source:
    """One partition. Everything of its markets up to the sequence `taken` is known to this process."""

    __slots__ = ("environment", "epoch", "partition", "taken")

    def __init__(self, partition: int, environment: int) -> None:
        self.partition = partition
        self.environment = environment
        self.epoch = 0
        self.taken = 0


class Sources:
    """The partitions of an environment."""

    def __init__(self, environment: int, sources: list[Source]) -> None:
        self.environment = environment
        self.all = sources

    def taken(self) -> str:
        """How far each of them is known, as a position; empty before anything is."""
        return "~".join(position_text(one.partition, one.epoch, one.taken) for one in self.all if one.taken)

    def resumed(self, resume_after: str) -> dict[Source, int]:
        """The sequence to go on after by partition; none where there is nothing to resume. Raises PositionInvalid."""
        found: dict[Source, int] = {}
        for position in positions(resume_after, RESUME_AFTER):
            source = next((one for one in self.all if one.partition == position.partition), None)
            if source is None or source in found:
                raise PositionInvalid(RESUME_AFTER)
            found[source] = position.sequence
        return found

    def frame(
        self, sequence: int = 0, previous_sequence: int = 0, *, position: str = "", **frame: object
    ) -> pb.SubscribeResponse:
        """An envelope without stream id, sent now."""
        return pb.SubscribeResponse(
            sequence=sequence,
            previous_sequence=previous_sequence,
            position=position,
            server_time=timestamp(time.time_ns() // 1000),
            environment=self.environment,  # type: ignore[arg-type]  # the domain's numbers are the wire's
            **frame,  # type: ignore[arg-type]  # one of the envelope's frames
        )

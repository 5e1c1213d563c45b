"""A machine that follows the journal of a partition: how a leader starts, and what the projector is."""

from servers.engine.recovery import Recovered, recover

__all__ = ["Recovered", "recover"]

"""Which of gRPC's two ways of waiting for its sockets serves here: the older one, where that can be chosen.

Since 1.80 gRPC waits for Python's sockets by its event engine, whose threads hand each event to the thread that serves the call.
The older way has that thread look at the sockets itself: a tenth less of a processor for a call, and an eighth more calls of one
caller a second (decision 32). Both are behind switches that gRPC means to take away: it then says so at a start, a test fails.
"""

import os
from typing import Final

VARIABLE: Final = "GRPC_EXPERIMENTS"
OLDER: Final = "-event_engine_listener,-event_engine_for_all_other_endpoints"


def choose() -> None:
    """Before gRPC is imported, which reads it once. What somebody else has set stays."""
    os.environ.setdefault(VARIABLE, OLDER)


def older() -> bool:
    """Whether it was chosen here, and so the sockets lie where gRPC's own queues wait for them."""
    return os.environ.get(VARIABLE) == OLDER

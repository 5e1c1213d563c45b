"""Answers that are lost on their way: the connection is cut after the venue has done what it was asked (f22)."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.e2e.fault_proxy import Fault, FaultProxy
from tests.e2e.launching import eventually
from tests.e2e.ways import Refused

# What a gRPC client says where it cannot know what has become of its call.
UNKNOWN = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "INTERNAL", "UNKNOWN"})


def lose(proxy: FaultProxy, ask: Callable[[], object], is_done: Callable[[], bool]) -> None:
    """Ask for something through the proxy; once it is done the connection is cut, and nothing of the answer has come.

    Over HTTP/2 the connection has to be there before.
    """
    proxy.fault = Fault.UNANSWERED
    try:
        with ThreadPoolExecutor(1) as pool:
            asking = pool.submit(ask)
            eventually(is_done, "what was asked for is done")
            proxy.reset_all()
            failed = asking.exception(timeout=30)
    finally:
        proxy.fault = Fault.NONE
    is_lost = isinstance(failed, httpx.TransportError) or (isinstance(failed, Refused) and failed.code in UNKNOWN)
    assert is_lost, failed

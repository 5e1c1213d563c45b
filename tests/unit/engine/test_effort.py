"""How busy a thread is taken to be."""

import time
from types import SimpleNamespace

import pytest

from servers.engine import effort
from servers.engine.effort import WINDOW_S, Effort


def test_the_share_is_of_the_time_since_the_last_look_and_not_of_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    now, used = [100.0], [3.0]
    clocks = SimpleNamespace(monotonic=lambda: now[0], thread_time=lambda: used[0])
    monkeypatch.setattr(effort, "time", clocks)
    busy = Effort()
    assert busy.look() == 0.0
    now[0] += 2 * WINDOW_S
    used[0] += 1.5 * WINDOW_S
    assert busy.look() == pytest.approx(0.75)
    now[0] += WINDOW_S / 2
    assert busy.look() == pytest.approx(0.75)
    # Idle for a while: what was before it does not count any more.
    now[0] += 10.0
    used[0] += 0.1
    assert busy.look() < 0.02


def test_a_thread_that_does_nothing_else_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effort, "WINDOW_S", 0.02)
    busy = Effort()
    since = time.thread_time()
    while time.thread_time() - since < 0.03:
        pass
    assert busy.look() > 0.1

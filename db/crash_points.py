"""Places between two steps where a test may end the process as a loss of power does. Nobody else can: see VENUE_CRASH_POINTS.

A place that was not asked for costs a comparison of names, once a batch.
"""

import os
import signal
from pathlib import Path
from typing import Final

POINTS: Final = {
    "order": ("after-take-over", "after-recovery", "after-validate", "after-journal", "after-answers"),
    "replica": ("before-projection", "mid-projection", "after-projection", "before-publish", "after-publish"),
    "api": (
        "deposit-written",
        "deposit-page-made",
        "deposit-paid",
        "deposit-transferred",
        "deposit-credited",
        "bonus-transferred",
        "reversal-held",
        "reversal-resolved",
        "withdrawal-written",
        "withdrawal-held",
        "withdrawal-accepted",
        "withdrawal-processing",
        "payout-made",
        "payout-told",
        "withdrawal-resolved",
        "withdrawal-ended",
    ),
    "auth": ("user-registered", "password-changed", "mail-asked", "mail-writing", "mail-written"),
    "notify": (
        "webhook-made",
        "webhook-moved",
        "webhook-sending",
        "webhook-sent",
        "webhook-recorded",
        "letter-taken",
        "letter-sent",
    ),
}


class _Asked:
    """The one place that was asked for, and how often it is still passed alive."""

    name = ""
    left = 0


def arm(order: Path) -> None:
    """Do what a file says, if there is one: `NAME COUNT` ends this process at the so-manieth passing. It is used up."""
    if order.exists():
        name, count = order.read_text().split()
        order.unlink()
        if name not in {point for points in POINTS.values() for point in points}:
            raise ValueError(f"no such place: {name}")
        _Asked.name, _Asked.left = name, int(count)


def passing(name: str) -> None:
    """The process is at a place."""
    if name == _Asked.name:
        _Asked.left -= 1
        if _Asked.left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)

"""Cancellations that a library lost on their way: whoever goes on for ever looks for one of his own.

Python 3.11's wait_for forgets a cancellation that comes with an answer, clients' own time-outs may swallow one, and a driver may
turn one into an error of its own.
"""

import asyncio


def end_if_cancelled() -> None:
    """Raises CancelledError where the task was told to end and has not."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError

"""Log lines onto a descriptor that refuses them."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.transport.log_lines import LogLines


def told(lost: int) -> str:
    return f"{lost} lost\n"


@pytest.fixture
def log(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A file and its descriptor."""
    path = tmp_path / "log"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    yield path, descriptor
    os.close(descriptor)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EPIPE, errno.EIO, errno.EAGAIN])
def test_a_line_that_is_refused_is_dropped_and_told_of(
    log: tuple[Path, int], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path, descriptor = log
    lines = LogLines(descriptor, told)
    lines.write("before\n")

    def refuse(_descriptor: int, _line: bytes) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as refusing:
        refusing.setattr(os, "write", refuse)
        for _ in range(3):
            assert lines.write("dropped\n") == len("dropped\n")
            lines.flush()
    assert lines.lost == 3
    lines.write("after\n")
    lines.write("and on\n")
    assert path.read_text() == "before\n3 lost\nafter\nand on\n"


def test_a_line_that_was_begun_on_the_last_block_is_ended_before_the_next_one(
    log: tuple[Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, descriptor = log
    lines = LogLines(descriptor, told)
    write, room = os.write, 4

    def fill(to: int, line: bytes) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done = write(to, line[:room])
        room -= done
        return done

    with monkeypatch.context() as filling:
        filling.setattr(os, "write", fill)
        lines.write("half of it\n")
        lines.write("nothing of it\n")
    lines.write("after\n")
    assert path.read_text() == "half\n2 lost\nafter\n"

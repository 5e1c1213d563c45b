"""Order flow files: what is played, what is only counted, and how a damaged file is named."""

import lzma
from pathlib import Path

import pytest

from servers.domain.terms import Side
from servers.replay.flow import COLUMNS, Action, Cancel, Count, Create, FlowInvalid, read_flow

HEADER = ",".join(COLUMNS)


def written(path: Path, *rows: str, header: str = HEADER) -> Path:
    text = "\n".join((header, *rows)) + "\n"
    if path.suffix == ".xz":
        path.write_bytes(lzma.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def read(path: Path) -> tuple[list[Action], Count]:
    count = Count()
    return list(read_flow(path, count)), count


@pytest.mark.parametrize("name", ["flow.csv", "flow.csv.xz"])
def test_creations_and_cancels_are_played_in_the_file_s_order(tmp_path: Path, name: str) -> None:
    flow = written(
        tmp_path / name,
        "7,1000,990,236.47,200000000,created,bid",
        "8,1001,991,236.5,1,created,ask",
        "7,1002,992,236.47,150000000,changed,bid",
        "8,1003,993,236.5,0,deleted,ask",
        "7,1004,994,236.47,150000000,deleted,bid",
    )
    actions, count = read(flow)
    assert actions == [
        Create(7, 1000, Side.BUY, "236.47", 200_000_000),
        Create(8, 1001, Side.SELL, "236.5", 1),
        Cancel(7, 1004),
    ]
    assert count == Count(read=5, created=2, cancelled=1, changed=1, filled=1)
    assert [action.quantity for action in actions if isinstance(action, Create)] == ["2", "0.00000001"]


def test_rows_of_orders_never_created_are_counted_as_unknown(tmp_path: Path) -> None:
    rows = ("1,5,5,9,3,deleted,bid", "1,6,6,9,0,deleted,bid", "2,7,7,9,3,changed,ask")
    actions, count = read(written(tmp_path / "flow.csv", *rows))
    assert actions == []
    assert (count.read, count.unknown, count.early, count.cancelled) == (3, 3, 0, 0)


def test_rows_before_a_creation_are_counted_as_early_and_the_late_creation_is_placed(tmp_path: Path) -> None:
    rows = ("1,5,5,9,3,deleted,bid", "1,6,6,9,3,created,bid", "2,7,7,9,3,deleted,bid")
    actions, count = read(written(tmp_path / "flow.csv", *rows))
    assert actions == [Create(1, 6, Side.BUY, "9", 3)]
    assert (count.read, count.created, count.unknown, count.early) == (3, 1, 1, 1)


def test_a_file_is_read_as_it_is_played(tmp_path: Path) -> None:
    rows = ("1,5,5,9,3,created,bid", "2,6,6,9,3,created,bid")
    count = Count()
    actions = read_flow(written(tmp_path / "flow.csv", *rows), count)
    next(actions)
    assert count.read == 1


@pytest.mark.parametrize(
    ("row", "line", "what"),
    [
        ("1,5,5,9,3,created", 2, "has 6 fields instead of 7"),
        ("x,5,5,9,3,created,bid", 2, "id 'x' is not a whole number"),
        ("1,-5,5,9,3,created,bid", 2, "timestamp '-5' is not a whole number"),
        ("1,5,5,9,1e3,created,bid", 2, "volume '1e3' is not a whole number"),
        ("1,5,5,1e3,3,created,bid", 2, "price '1e3' is not a decimal"),
        ("1,5,5,0,3,created,bid", 2, "price '0' is not above zero"),
        ("1,5,5,9,0,created,bid", 2, "an order is created without volume"),
        ("1,5,5,9,3,amended,bid", 2, "action 'amended' is not created, changed or deleted"),
        ("1,5,5,9,3,created,buy", 2, "direction 'buy' is not bid or ask"),
        ("1,5,5,9,3,created,bid\n1,6,6,9,3,created,bid", 3, "order 1 is created twice"),
        ('1,5,5,9,3,created,"bid', 3, "cannot be read: damaged, or not CSV"),
    ],
)
def test_a_row_that_is_not_as_documented_is_named(tmp_path: Path, row: str, line: int, what: str) -> None:
    with pytest.raises(FlowInvalid, match=f"^line {line}: ") as refused:
        read(written(tmp_path / "flow.csv", row))
    assert (refused.value.line, str(refused.value)) == (line, f"line {line}: {what}")


@pytest.mark.parametrize("header", ["", "id,price", HEADER + ",more"])
def test_other_columns_are_refused(tmp_path: Path, header: str) -> None:
    with pytest.raises(FlowInvalid, match="line 1: the columns must be id,timestamp,"):
        read(written(tmp_path / "flow.csv", header=header))


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "flow.csv").touch()
    with pytest.raises(FlowInvalid, match="line 1"):
        read(tmp_path / "flow.csv")


def test_a_truncated_archive_is_refused(tmp_path: Path) -> None:
    rows = [f"{number},5,5,9,3,created,bid" for number in range(1, 2_000)]
    path = written(tmp_path / "flow.csv.xz", *rows)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(FlowInvalid, match="cannot be read: damaged, or not CSV"):
        read(path)


@pytest.mark.parametrize("name", ["flow.csv", "flow.csv.xz"])
def test_bytes_that_are_no_flow_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\xff\xfe\x00not a flow")
    with pytest.raises(FlowInvalid, match="cannot be read: damaged, or not CSV"):
        read(tmp_path / name)

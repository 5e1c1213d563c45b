"""The checksum of a book, by which a client proves its own copy."""

from zlib import crc32

from servers.domain.checksum import book_checksum


def test_bids_and_asks_are_interleaved_best_first() -> None:
    bids, asks = [("100", "1"), ("99.5", "2")], [("101", "0.3"), ("102", "4")]
    assert book_checksum(bids, asks) == crc32(b"100:1:101:0.3:99.5:2:102:4")


def test_the_longer_side_goes_on_alone() -> None:
    assert book_checksum([("100", "1")], [("101", "2"), ("102", "3")]) == crc32(b"100:1:101:2:102:3")
    assert book_checksum([], [("101", "2")]) == crc32(b"101:2")


def test_ten_levels_count() -> None:
    bids = [(str(100 - at), "1") for at in range(12)]
    assert book_checksum(bids, []) == book_checksum(bids[:10], []) != book_checksum(bids[:9], [])


def test_an_empty_book_has_the_checksum_of_nothing() -> None:
    assert book_checksum([], []) == 0

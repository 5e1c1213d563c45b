"""What is said of a venue's partitions where they are halted, and where nobody knows."""

import psycopg

from servers.embedded.inspection import halted


def test_each_halted_partition_is_named_with_its_reason(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as database:
        database.execute("INSERT INTO partitions (partition, environment) VALUES (1, 1), (2, 2), (3, 2)")
        assert halted(database_url) == []
        database.execute("UPDATE partitions SET halted_reason = 'digest differs after 7' WHERE partition = 3")
        database.execute("UPDATE partitions SET halted_reason = 'broken [row] 9' WHERE partition = 1")
    assert halted(database_url) == [
        "partition 1 is halted: broken [row] 9",
        "partition 3 is halted: digest differs after 7",
    ]


def test_a_database_that_cannot_say_is_not_taken_for_a_good_one(empty_database_url: str) -> None:
    (line,) = halted(empty_database_url)
    assert line.startswith("whether a partition is halted is not known: ")

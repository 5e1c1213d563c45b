"""Which partitions have stopped, asked by whoever looks at a venue from outside of its processes."""

import psycopg

PROBE_S = 2


def reasons(url: str) -> dict[int, str]:
    """Why each halted partition is. Raises psycopg.Error where the database does not answer, or was never migrated."""
    with psycopg.connect(url, connect_timeout=PROBE_S) as connection:
        rows = connection.execute(
            "SELECT partition, halted_reason FROM partitions WHERE halted_reason IS NOT NULL ORDER BY partition"
        )
        return {int(partition): str(reason) for partition, reason in rows}

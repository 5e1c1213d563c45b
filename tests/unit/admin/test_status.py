"""What a process says of itself, read."""

from servers.admin.status import read_metrics
from venue.admin.v1 import admin_pb2 as pb

METRICS = """\
# HELP venue_rpc_total Calls ended.
# TYPE venue_rpc_total counter
venue_rpc_total{method="/a/B",code="OK"} 40.0
venue_rpc_total{method="/a/B",code="NOT_FOUND"} 2.0
venue_rpc_total{method="/a/C",code="INTERNAL"} 1.0
# HELP venue_streams_open Streams that are open.
# TYPE venue_streams_open gauge
venue_streams_open{method="/a/D"} 3.0
venue_streams_open{method="/a/E"} 4.0
# HELP venue_event_loop_lag_seconds How late.
# TYPE venue_event_loop_lag_seconds gauge
venue_event_loop_lag_seconds 0.0015
# HELP venue_engine_queued_commands Waiting.
# TYPE venue_engine_queued_commands gauge
venue_engine_queued_commands{partition="2"} 17.0
# HELP venue_replica_sequence Where it is.
# TYPE venue_replica_sequence gauge
venue_replica_sequence{partition="2",reader="machine"} 90.0
venue_replica_sequence{partition="2",reader="bus"} 88.0
"""


def test_metrics_are_counted_over_all_methods() -> None:
    scraped = read_metrics("order", METRICS)
    assert scraped.status == pb.ProcessStatus(
        process="order", answering=True, streams_open=7, calls=43, faults=1, loop_lag_us=1500
    )
    assert (scraped.queued, scraped.readers) == ({2: 17}, {(2, "bus"): 88})


def test_a_process_without_metrics_of_its_own_is_there_all_the_same() -> None:
    assert read_metrics("bot", "").status == pb.ProcessStatus(process="bot", answering=True)

"""Messages that are joined from bytes are what protobuf writes."""

from servers.engine.delimited import field, repeated
from venue.engine.v1 import engine_pb2 as pb


def test_fields_are_written_as_protobuf_writes_them() -> None:
    answers = [b"", b"a", b"b" * 127, b"c" * 128, b"d" * 2_047, b"e" * 2_048, b"f" * 70_000]
    written = pb.AnswerBatch(answers=answers).SerializeToString()
    number = pb.AnswerBatch.ANSWERS_FIELD_NUMBER
    assert repeated(number, answers) == written
    assert b"".join(field(number, each) for each in answers) == written
    assert repeated(number, []) == b""

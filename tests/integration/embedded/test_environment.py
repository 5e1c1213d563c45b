"""What the supervisor is told of a program's variables is what the program gets."""

from configparser import ConfigParser

import pytest
from supervisor.datatypes import dict_of_key_value_pairs  # type: ignore[import-untyped]

from servers.embedded.supervisor import written


@pytest.mark.parametrize(
    "values",
    [
        {"VENUE_INSTANCE": "", "VENUE_PORT": "1"},
        # Lists are JSON.
        {"VENUE_MARKETDATA_OTHERS": '["127.0.0.1:15061", "[::1]:2"]', "VENUE_MARKETDATA_MORE": "[]"},
        {"VENUE_STATE_DIR": "/a folder, with 100%/it's"},
    ],
)
def test_values_arrive_as_they_are(values: dict[str, str]) -> None:
    # It puts variables of its own environment in, by the rules of the configuration's format.
    text = written(values)
    parser = ConfigParser()
    parser.read_dict({"program:x": {"environment": text}})
    assert dict_of_key_value_pairs(parser["program:x"]["environment"]) == values

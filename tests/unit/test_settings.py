"""The settings of a venue that nobody has configured."""

from servers.config import Settings

# Linux picks the ports of outgoing connections from here on (net.ipv4.ip_local_port_range).
EPHEMERAL_FROM = 32_768


def test_no_default_port_is_one_that_an_outgoing_connection_may_have() -> None:
    ports = {name: field.default for name, field in Settings.model_fields.items() if name.endswith("_port")}
    assert {name: port for name, port in ports.items() if port >= EPHEMERAL_FROM} == {}
    assert len(set(ports.values())) == len(ports)

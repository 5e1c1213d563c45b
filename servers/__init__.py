"""The exchange's processes: rules, engine, transport and a room per subsystem."""

from servers import native

native.install()

"""The exchange's processes: rules, engine, transport and a room per subsystem."""

from servers import native, polling

native.install()
polling.choose()

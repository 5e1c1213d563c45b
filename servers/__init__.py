"""The exchange's processes: rules, engine, transport and a room per subsystem."""

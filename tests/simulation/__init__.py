"""The engine, machine and shell, under a clock and outside parties of the simulation's own: every run follows from its seed."""

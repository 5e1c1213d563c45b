"""Everything that outlives a process: tables, journal, streams."""

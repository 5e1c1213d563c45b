"""The shell around the rules: sequencing, journal, replicas, leadership."""

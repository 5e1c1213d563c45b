"""Money in and out: what is asked for, what companies outside do about it, and when the ledger is told."""

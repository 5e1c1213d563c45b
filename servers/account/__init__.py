"""Accounts: opening, balances, the ledger, and the stream of both."""

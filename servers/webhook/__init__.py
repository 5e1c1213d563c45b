"""Webhooks: what happens to a user's accounts, told to an address of the user's own (docs/webhooks.md)."""

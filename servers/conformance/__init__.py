"""The conformance kit: whether a deployment keeps the contract, asked from outside as any client could."""

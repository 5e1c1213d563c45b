"""The rules of the exchange: pure, synchronous, standard library only."""

"""The market maker of the demo books: a client of the public API like any other, so that a newcomer sees trades at once."""

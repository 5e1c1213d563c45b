"""What an operator of the venue does."""

"""What an operator does about risk: the limits of a venue that runs."""

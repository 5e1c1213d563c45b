"""The descriptors, and what they promise."""

"""Figures of the whole venue, as ratios to an echo of the same messages measured in the same run."""

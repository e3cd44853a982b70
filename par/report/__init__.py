"""Plots, the GIF of pi, and the HTML page of a run."""

"""Trained networks side by side as one, written as a run directory or as a layer of Keras."""

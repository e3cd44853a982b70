"""Scores, generated text, and a trained run as a library."""

"""Masked prediction of documents beside other documents: the networks, and the words to mask."""

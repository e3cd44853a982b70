"""Data sets of characters: their letters, and how these are typed wrongly."""

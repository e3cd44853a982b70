"""What tools/derive.py reads, chooses by and shows."""

"""What tools/compare.py compares, one kind a module."""

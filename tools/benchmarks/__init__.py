"""What tools/benchmark.py measures, one subject a module: FLAGS, and `work`, which measures and
prints."""

"""The subjects of tools/benchmark.py, one a module: FLAGS, and `work`, which measures."""

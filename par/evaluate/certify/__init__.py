"""A choice among all networks within a latency budget, with how certain it is."""

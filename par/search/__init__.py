"""What a block may become, what it costs, and how a network is chosen."""

"""Whether a search was worth it: opponents, statistics in pairs, a verdict."""

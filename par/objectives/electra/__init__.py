"""Replaced tokens: the two networks, and the heads of the second one."""

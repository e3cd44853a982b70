"""Files that are known by their digests: fetched, checked, and taken out of archives."""

"""Small corpora of documents that are made by rule, with the best that any network can reach."""

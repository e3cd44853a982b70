"""A trained network as a SavedModel with its tokenizer and model card."""

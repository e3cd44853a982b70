"""Text to records: corpora, tokenizer, encoding, windows, manifest, TFRecord files."""

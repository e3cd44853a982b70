"""A trained network as a TensorFlow SavedModel with its tokenizer and model card; tables of
networks as a black box of Syne Tune."""

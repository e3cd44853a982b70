"""What counting alone predicts: models without a network, to compare networks with."""

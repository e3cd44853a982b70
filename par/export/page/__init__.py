"""A page that writes: the network, its tokenizer and the programs that run them in one file."""

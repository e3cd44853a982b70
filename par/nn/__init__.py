"""Layers, the SuperNet and the Transformer-XL trunk."""

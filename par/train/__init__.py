"""Search and training: one loop, its state on disk, its logs."""

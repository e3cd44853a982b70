"""What a network must beat: models of counts of the same pieces, and their scores."""

"""Files that exports take along as they are: they need neither this program nor TensorFlow."""

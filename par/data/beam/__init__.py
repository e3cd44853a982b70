"""The same build on Apache Beam."""

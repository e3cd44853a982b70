"""What every wing uses and that knows no text and no network: errors, files, settings, statistics,
processes."""

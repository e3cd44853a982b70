"""What the commands share: flags, recipes, the way from arguments to an exit code, and checks."""

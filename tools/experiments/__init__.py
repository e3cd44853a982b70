"""The experiments of README.md and docs/: one, or one family, a module; and how they are run,
kept and shown (experiment, runner, record, pages). tools/results.py is their command."""

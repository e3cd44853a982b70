"""What tools/evaluate.py scores, what that is compared with, and how it is shown."""

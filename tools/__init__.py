"""The commands, one a file. What they share is in cli/."""

from par.tools.cli.interrupts import guard

guard()  # does nothing unless the program that was started is one of them

"""The command line: verbs, their options, and the calls that they make."""

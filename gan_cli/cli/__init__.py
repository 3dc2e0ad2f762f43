"""The command line: words in, calls out. torch is imported only when the work starts."""

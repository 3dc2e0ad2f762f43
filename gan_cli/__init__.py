"""Train and reproduce generative adversarial networks from the command line."""

__version__ = "0.1.0"

"""The configuration: composed by Hydra, checked against types, brought up to date for older runs."""

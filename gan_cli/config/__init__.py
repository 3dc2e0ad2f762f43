"""The configuration: composed by Hydra, checked against types, and migrated for older runs."""

"""Helpers without knowledge of models: errors, random numbers, processes, images, files, tables."""

"""Scores of a run or a folder of images, and tables and charts over several runs."""

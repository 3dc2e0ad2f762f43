"""`gan data`: check a folder of images before training, and resize it once."""

"""Games: one file each. A system says who plays, what they see and in which order they move; nothing else."""

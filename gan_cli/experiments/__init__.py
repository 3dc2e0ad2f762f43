"""Many runs at once: sweeps, searches, and the experiments of papers with their published numbers."""

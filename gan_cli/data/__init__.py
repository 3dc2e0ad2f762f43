"""Data sets and batches. A training batch is a pure function of (seed, position): nothing has to be replayed."""

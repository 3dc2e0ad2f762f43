"""Benchmarks and demonstrations."""

"""Benchmarks: one question per script, each answered as a ratio of two things measured in one run."""

"""Fuzzing of everything that reads what other programs and people wrote."""

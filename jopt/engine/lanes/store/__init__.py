"""Sweeps in a file: one SQLite file of documents whose every row is checked, which a running sweep appends to."""

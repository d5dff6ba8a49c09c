"""Readers of files: one module per format, chosen by looking at the first bytes."""

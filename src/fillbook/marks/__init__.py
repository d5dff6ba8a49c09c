"""The marks: what things were worth, prunable, beside the book."""

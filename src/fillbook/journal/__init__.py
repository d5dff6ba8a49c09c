"""The journal: what was claimed is remembered once, durably, and never changed."""

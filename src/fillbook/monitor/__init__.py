"""The running monitor: pulls accounts, journals, folds, tells, and keeps watching."""

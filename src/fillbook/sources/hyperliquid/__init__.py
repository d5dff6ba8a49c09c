"""Hyperliquid: its rows as facts, its histories as streams, an account attached read-only."""

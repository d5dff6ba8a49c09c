"""Hyperliquid on loopback: its own shapes, limits and rights, and its faults on command."""

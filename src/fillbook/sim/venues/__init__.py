"""Simulated venues: loopback servers that speak the venues' formats, and misbehave on demand."""

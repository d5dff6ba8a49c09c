"""The wall against the world: what others print goes in, facts come out."""

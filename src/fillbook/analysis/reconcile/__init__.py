"""Our numbers against what venues state: a check and a source of findings, never of money."""

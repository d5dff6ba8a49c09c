"""What a bot or a notebook imports: thin desks, every figure from the one ledger."""

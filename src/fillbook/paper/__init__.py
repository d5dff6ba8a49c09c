"""Trading without money: what orders would have met at the quotes a bot saw."""

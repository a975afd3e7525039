"""Where prices come from: recorded candles or a seeded synthetic market."""

"""The deterministic simulation: one integer is one history of a trader, an exchange and everything between them."""

"""Read the public market of any exchange that ccxt knows. There is no way to trade from here."""

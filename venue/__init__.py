"""A local Binance-compatible spot exchange: a program of its own that knows nothing of the house."""

"""Coinbase's Advanced Trade, through ccxt."""

"""Binance spot, and everything that speaks its protocol, through ccxt."""

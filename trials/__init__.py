"""Trials: each bot alone for some hours, compared, and a proposal of shares that comes of it."""

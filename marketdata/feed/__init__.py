"""The feed: one process for each market that brings candles and marks in."""

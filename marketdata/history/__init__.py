"""History on disk: the root that `history_fetcher` fills, as the rest of the house reads it."""

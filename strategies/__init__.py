"""One file per strategy; every strategy is pure."""

"""The trader: one process per account, the only one that sends orders. Starting up and recovering are the same path."""

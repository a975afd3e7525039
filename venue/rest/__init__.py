"""The REST interface, one module per family of endpoints."""

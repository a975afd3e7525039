"""What moves prices besides prices: plug-ins that fetch it, and a store that remembers when it was known."""

"""Commands of the money world."""

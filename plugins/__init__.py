"""Strategies that users wrote: each in a process of its own behind walls, known to the house by description."""

"""Faults on order: what goes wrong, when, and what is kept about it. No sockets in here."""

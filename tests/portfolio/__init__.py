"""Tests of the money world, on a real PostgreSQL."""

"""Compiled loops over many bars."""

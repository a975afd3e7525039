"""Tests of the rules of an account in play, in memory."""

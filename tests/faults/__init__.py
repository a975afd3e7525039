"""The table of faults: which are proven by a test, which fail, which are absent and why (`make faults`)."""

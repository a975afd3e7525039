"""The vocabulary and the arithmetic of trading: pure, no input or output, no clock."""

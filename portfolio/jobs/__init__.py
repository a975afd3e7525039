"""What the machine does with money in the background."""

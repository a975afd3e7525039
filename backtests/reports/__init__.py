"""Reports of what a backtest did: measured once, shown as a page, and written as one file."""

"""The exchange's own matching: orders, prices, filters, fills; exact whole numbers only."""

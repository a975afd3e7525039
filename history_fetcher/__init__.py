"""A stand-alone downloader of price history. Imports inside are relative, so that the folder works wherever it is copied."""

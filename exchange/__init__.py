"""The only floor that speaks to exchanges: ports, the ccxt adapter, the classifier of their errors, sealed keys."""

"""The single places that change the tables of money, always inside somebody's transaction."""

"""Try many combinations of parameters at once: one pass over the market, work only where something happens."""

"""The rules of an account in play: what may become an order, what a trade moves, how an order ends.

Every rule works on rows it is handed and on one `Store`; it knows no database. `portfolio.writers` keeps the rows in PostgreSQL,
`trading.desk.memory` keeps them in memory for the simulation. Both run these very functions.
"""

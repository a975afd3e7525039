"""Copies of an installation that can be relied on: taken while it trades, put back with nothing sent twice.

`archive` knows the file, `database` the servers' own tools, `state` the files beside the database, `taking` and `restoring` the
two commands, `reopening` how restored books meet an exchange that has gone on without them.
"""

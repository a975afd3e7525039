"""Mirror the public market of a real exchange into the local venue: a process of its own, without database."""

"""The supervisor: servers, processes, readiness, and an end without leftovers. Standard library only below `start`."""

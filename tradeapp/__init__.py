"""Project wiring: settings, addresses, the API's root, Celery, and `up`, the supervisor."""

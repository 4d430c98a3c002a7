"""The gateway: the outbox pushed to whoever may listen, the API, and the dashboard. An extra, fleet[gateway]."""

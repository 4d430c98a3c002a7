"""The gateway: a WebSocket with every event, an HTTP API, and the dashboard. An extra: fleet[gateway]."""

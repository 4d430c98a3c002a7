"""The gateway: a WebSocket with every event, an HTTP API, the dashboard. Extra: fleet[gateway]."""

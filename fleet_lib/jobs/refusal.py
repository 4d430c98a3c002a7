"""What Claude Code prints when the model's service refuses a job, for reasons that are not the
job's: a usage limit, an expired login, no credit, an overload. Measured with 2.1.197 and 2.1.332."""

from dataclasses import dataclass
from typing import Any

from fleet_lib.turn.transcript import content_of, is_synthetic

# {the client's name of an error that every other job would meet, too: what to say of it}
_REASONS = {
    "rate_limit": "the usage limit is reached",
    "authentication_failed": "the login is not valid; run `claude` and log in",
    "oauth_org_not_allowed": "the account may not use Claude Code; run `claude` and log in",
    "billing_error": "there is no credit left",
    "overloaded": "the model's service is overloaded",
    "server_error": "the model's service has an error",
}
_LOGIN_ERRORS = ("authentication_failed", "oauth_org_not_allowed")
# The client itself repeats a refused login for three minutes.
_LOGIN_ATTEMPTS = 3


@dataclass(slots=True)
class Refusals:
    """What the lines of one run say about it so far."""

    is_answered: bool = False  # the model has answered at least once
    error: str = ""  # the newest refusal since; "" if the newest news is good
    until: float | None = None  # Unix seconds, where the client says when the limit ends
    is_hopeless: bool = False  # waiting for the client's next attempts is no use
    _words: str = ""

    def note(self, line: dict[str, Any]) -> None:
        kind = line.get("type")
        if kind == "system" and line.get("subtype") == "api_retry":
            # Without a status there was no connection.
            known = str(line.get("error")) if line.get("error_status") else "connection"
            self.error = known
            attempt = line.get("attempt")
            is_late = isinstance(attempt, int) and attempt >= _LOGIN_ATTEMPTS
            self.is_hopeless = known in _LOGIN_ERRORS and is_late and not self.is_answered
        elif kind == "rate_limit_event":
            info = line.get("rate_limit_info")
            if isinstance(info, dict) and info.get("status") == "rejected":
                resets = info.get("resetsAt")
                self.error = "rate_limit"
                self.until = float(resets) if isinstance(resets, int | float) else None
        elif kind == "assistant" and isinstance(line.get("error"), str):
            self.error = line["error"]
            self._words = " ".join(str(block.get("text") or "") for block in content_of(line))
        elif kind == "stream_event" or (kind == "assistant" and not is_synthetic(line)):
            self.is_answered, self.error, self.until = True, "", None

    @property
    def reason(self) -> str:
        """Why every job is refused, in one line; "" if none is."""
        if self.error == "connection":
            return "the model's service cannot be reached"
        reason = _REASONS.get(self.error)
        return f"{reason} ({self._words})" if reason and self._words else reason or ""

"""What must not stand in a job's log, which the person who asked for the job can read."""

import re

_PLACEHOLDER = "***"
# A token of the hub has 34 characters after its prefix; names such as hf_hub_download and hf_transfer stay readable.
_SECRETS = (
    re.compile(r"\b(?:hf|api_org)_[A-Za-z0-9]{20,}"),
    re.compile(r"(?<=\bBearer )[^\s'\",]+", re.IGNORECASE),
    # A proxy's address may hold a name and a password.
    re.compile(r"(?<=://)[^/\s@:]+:[^/\s@]+(?=@)"),
)


def without_secrets(text: str) -> str:
    for secret in _SECRETS:
        text = secret.sub(_PLACEHOLDER, text)
    return text

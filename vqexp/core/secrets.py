"""Secrets of the environment, which no record, log or message may show."""

import os
import re
from typing import Any

NAMES = re.compile(r"(^|_)(API_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)(_|$)", re.IGNORECASE)
SHORTEST = 8  # characters: a shorter value may well be a word
SHOWN = "***"


def without_secrets(value: Any) -> Any:
    """Plain data in which the values of environment variables that look like secrets are `***`."""
    if isinstance(value, dict):
        return {name: without_secrets(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [without_secrets(entry) for entry in value]
    if not isinstance(value, str):
        return value
    for secret in _secrets():
        value = value.replace(secret, SHOWN)
    return value


def _secrets() -> list[str]:
    found = (value.strip() for name, value in os.environ.items() if NAMES.search(name))
    return sorted((value for value in found if len(value) >= SHORTEST), key=len, reverse=True)

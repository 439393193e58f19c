"""Secrets from the environment: a URL says {password} where the content of a file goes."""

import os
from pathlib import Path

from sensors.errors import SettingsError


def secret_from(url: str, variable: str) -> str:
    """Put the password of the file that `<variable>_FILE` names into `url` where it says {password}."""
    path = os.environ.get(f"{variable}_FILE")
    if "{password}" not in url:
        return url
    if not path:
        raise SettingsError(f"{variable}_FILE: name the file with the password of {url}")
    try:
        return url.replace("{password}", Path(path).read_text().strip())
    except OSError as reason:
        raise SettingsError(f"{variable}_FILE: {path}: {reason.strerror}") from reason

"""What a worker tells the process that has started it: one line of JSON each, on stdout."""

from __future__ import annotations

import json
import sys
from typing import Any

# The exit status of a worker that stopped because another one did.
LOST = 3


def send(**values: Any) -> None:
    """Tell the launcher something; it is read at once."""
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def receive(line: str) -> dict[str, Any] | None:
    """Return what was sent, or None if the line is something else that was printed."""
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None

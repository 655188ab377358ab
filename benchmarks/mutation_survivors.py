"""Mutants that no test catches: name, the line that the fault makes, and why it is not seen.

"Same": no input can tell the two programs apart. "Missed": it could be told, and is not.
"""

from __future__ import annotations

SURVIVORS: dict[str, tuple[str, str]] = {}

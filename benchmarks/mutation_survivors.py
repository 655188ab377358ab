"""Mutants that no test catches, and why: file, line before, line after.

"Same": no input can tell the two programs apart. "Missed": it could be told, and is not.
"""

from __future__ import annotations

SURVIVORS: dict[tuple[str, str, str], str] = {}

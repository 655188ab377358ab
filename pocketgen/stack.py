"""How deep the stack can get in each public function, by the compiler's own account.

In: generated files and a command of gcc, for this machine or a microcontroller. Out: bytes, and
what the compiler says nothing of. Not here: what is known before compiling (report).
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pocketgen.errors import CompilerError

# Equal functions are not folded: the call graph says nothing of a folded one.
FLAGS = ("-std=c99", "-ffreestanding", "-fcallgraph-info=su", "-fno-ipa-icf", "-c")


@dataclass(frozen=True)
class StackRow:
    """A public function at its deepest. unknown: run-time functions, whose stack comes on top."""

    function: str
    bytes: int
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class StackReport:
    """The rows of all public functions, and the command that they hold for."""

    command: str
    rows: tuple[StackRow, ...]

    def to_json(self) -> dict[str, Any]:
        """The report as plain values."""
        rows = [
            {"function": row.function, "bytes": row.bytes, "unknown": list(row.unknown)}
            for row in self.rows
        ]
        return {"command": self.command, "functions": rows}

    def lines(self) -> list[str]:
        """The report as text."""
        width = max(len(row.function) for row in self.rows)
        lines = ["", f"worst-case stack, by {self.command}"]
        for row in self.rows:
            more = f", and that of {' or '.join(row.unknown)}" if row.unknown else ""
            lines.append(f"{row.function:<{width}}  {row.bytes:>6} bytes{more}")
        return lines


@dataclass
class CallGraph:
    """What -fcallgraph-info=su says: bytes of each function's frame, and who calls whom."""

    frames: dict[str, int] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    calls: dict[str, set[str]] = field(default_factory=dict)

    @classmethod
    def read(cls, paths: Sequence[Path]) -> CallGraph:
        """The graph of several files; static functions are called FILE:NAME in it."""
        graph = cls()
        for line in "".join(path.read_text("utf-8") for path in paths).splitlines():
            node = re.match(
                r'node: \{ title: "([^"]+)" label: "[^"]*?(\d+) bytes \(([^)]+)\)', line
            )
            if node:
                graph.frames[node[1]] = int(node[2])
                graph.kinds[node[1]] = node[3]
            edge = re.match(r'edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"', line)
            if edge:
                graph.calls.setdefault(edge[1], set()).add(edge[2])
        return graph

    def unknown(self, title: str) -> set[str]:
        """What a function calls, at any depth, that is in none of the files."""
        reached: set[str] = set()
        todo = [title]
        while todo:
            for callee in self.calls.get(todo.pop(), set()) - reached:
                reached.add(callee)
                todo.append(callee)
        return {callee for callee in reached if callee not in self.frames}

    def worst(self, title: str, runtime: Mapping[str, int], above: tuple[str, ...] = ()) -> int:
        """Bytes of stack that a call can take, with those of run-time functions as given."""
        if title in above:
            raise AssertionError(f"recursion: {' calls '.join((*above, title))}")
        deeper = [self.worst(c, runtime, (*above, title)) for c in self.calls.get(title, ())]
        own = self.frames[title] if title in self.frames else runtime[title]
        return own + max(deeper, default=0)


def stack(files: Mapping[str, str], command: Sequence[str]) -> StackReport:
    """Compile the shipped files with command and read the depth of every function of the header.

    files: as pocketgen.generate gives them. command: a gcc of version 10 or newer and its flags.
    CompilerError where that does not work.
    """
    if shutil.which(command[0]) is None:
        raise CompilerError(f"stack: no compiler {command[0]!r} on the PATH; name a gcc")
    with tempfile.TemporaryDirectory(prefix="pocketgen-") as folder:
        for name, text in files.items():
            if "/" not in name:
                Path(folder, name).write_text(text, "utf-8")
        sources = [name for name in files if name.endswith(".c") and "/" not in name]
        done = subprocess.run(
            [*command, *FLAGS, *sources], cwd=folder, capture_output=True, text=True, check=False
        )
        paths = sorted(Path(folder).glob("*.ci"))
        if done.returncode != 0 or not paths:
            said = (done.stderr.strip().splitlines() or ["it writes no call graph"])[0]
            raise CompilerError(f"stack: {' '.join(command)}: {said}; use gcc 10 or newer")
        graph = CallGraph.read(paths)
    rows = []
    for title in graph.frames:
        if ":" not in title:  # not static
            unknown = tuple(sorted(graph.unknown(title)))
            rows.append(StackRow(title, graph.worst(title, dict.fromkeys(unknown, 0)), unknown))
    return StackReport(shlex.join(command), tuple(rows))

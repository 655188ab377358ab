"""A folder of generated files: written whole or not at all, never over somebody's own work.

In: a folder and {file name: content}. Out: the folder, and what was done to it.
Not here: what the files contain.

Beside the files stands a manifest, ``pocketgen.json``: the SHA-256 of each file as it was written,
and nothing that differs from machine to machine or day to day. A file that no longer has its hash
was edited by hand, a file without one is the user's own; neither is ever overwritten unless the
user says so.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from pocketgen.errors import OutputError

Content = str | bytes

MANIFEST = "pocketgen.json"
FORMAT = 1  # of the manifest


@dataclass(frozen=True)
class Written:
    """What ``write_files`` did: file names relative to the folder, sorted."""

    folder: Path
    written: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Difference:
    """One file that is not as it would be generated.

    kind: "missing", "changed", or "stale" (once generated, no longer). lines: a unified diff from
    the folder's file to the generated one (empty for binary files).
    """

    name: str
    kind: Literal["missing", "changed", "stale"]
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Manifest:
    owner: str
    hashes: Mapping[str, str]

    def text(self) -> str:
        content = {"format": FORMAT, "of": self.owner, "sha256": dict(sorted(self.hashes.items()))}
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def write_files(
    folder: str | os.PathLike[str],
    files: Mapping[str, Content],
    force: bool = False,
    owner: str = "",
    manifest: str = MANIFEST,
) -> Written:
    """Make the folder hold these files; all of them, or on any failure as it was before.

    files: relative names with ``/`` → text (written as UTF-8 with line feeds) or bytes.
    owner: whose files they are, such as the model's name: another owner's folder is refused.
    manifest: file name of the list of hashes; sets of files with different manifests may share a
    folder. Files of an earlier run that are no longer made are removed if nobody edited them.
    force: overwrite files that were edited or are the user's own.

    Raises OutputError, with nothing written: the folder is a file or not writable, or holds
    edited files or files of the user under one of these names, or another owner's files.
    """
    root = Path(folder)
    contents = {_checked(name): _bytes(content) for name, content in files.items()}
    refuse_unsafe(root, contents, force, owner, manifest)
    before = _read_manifest(root / manifest)
    stale = _unedited_stale(root, before, contents)
    after = _Manifest(owner, {name: _sha256(content) for name, content in contents.items()})
    contents[manifest] = after.text().encode()

    changed = {n: c for n, c in contents.items() if _read(root / n) != c}
    with _reporting(root):
        _replace_all(root, changed, stale)
    return Written(
        folder=root,
        written=tuple(sorted(n for n in changed if n != manifest)),
        unchanged=tuple(sorted(n for n in contents if n not in changed and n != manifest)),
        removed=tuple(sorted(stale)),
    )


def remove_files(folder: str | os.PathLike[str], manifest: str = MANIFEST) -> Written:
    """Remove the unedited files of the manifest and the manifest, then the folder if empty."""
    root = Path(folder)
    before = _read_manifest(root / manifest)
    stale = _unedited_stale(root, before, {})
    with _reporting(root):
        _replace_all(root, {}, [*stale, manifest])
        with contextlib.suppress(OSError):  # not empty: the rest is the user's
            root.rmdir()
    return Written(folder=root, removed=tuple(sorted(stale)))


def refuse_unsafe(
    folder: str | os.PathLike[str],
    files: Mapping[str, Content] | Iterable[str],
    force: bool = False,
    owner: str = "",
    manifest: str = MANIFEST,
) -> None:
    """Raise OutputError where ``write_files`` would, and change nothing.

    files: names with their content, or names alone where the content is not known yet, as before
    a training: then only files that pocketgen wrote and nobody edited may stand there.
    """
    root = Path(folder)
    names = [_checked(name) for name in files]
    with _reporting(root):
        _refuse_places(root, [*names, manifest])
    if not force:
        known: dict[str, bytes | None] = dict.fromkeys(names)
        if isinstance(files, Mapping):
            known = {name: _bytes(content) for name, content in files.items()}
        _refuse_edited(root, known, owner, manifest)


def _refuse_edited(
    root: Path, files: Mapping[str, bytes | None], owner: str, manifest: str
) -> None:
    """Raise OutputError where a file, other than one already right, would be somebody's loss."""
    before = _read_manifest(root / manifest)
    if before is None:
        if _read(root / manifest) is not None:
            raise OutputError(
                f"{root / manifest} was not written by this version of pocketgen: "
                "choose another folder, or overwrite it with --force"
            )
        before = _Manifest(owner, {})
    elif before.owner != owner:
        raise OutputError(
            f"{root} holds the files of {before.owner!r}, not of {owner!r}: "
            "choose another folder, or replace them with --force"
        )
    in_the_way = []
    for name, content in files.items():
        present = _read(root / name)
        if present is None or present == content:
            continue
        if _sha256(present) != before.hashes.get(name):
            in_the_way.append(name)
    if in_the_way:
        edited = all(name in before.hashes for name in in_the_way)
        raise OutputError(
            f"{root} has {'files edited by hand' if edited else 'files of your own'} "
            f"({_listed(in_the_way)}): keep them elsewhere, choose another folder, "
            "or overwrite them with --force"
        )


def differences(
    folder: str | os.PathLike[str],
    files: Mapping[str, Content],
    owner: str = "",
    manifest: str = MANIFEST,
) -> tuple[Difference, ...]:
    """How the folder differs from what ``write_files`` would make it hold; changes nothing.

    The manifest itself is compared too. The user's own files are no difference.
    """
    root = Path(folder)
    contents = {_checked(name): _bytes(content) for name, content in files.items()}
    hashes = {name: _sha256(content) for name, content in contents.items()}
    contents[manifest] = _Manifest(owner, hashes).text().encode()
    found: list[Difference] = []
    for name, content in sorted(contents.items()):
        present = _read(root / name)
        if present is None:
            found.append(Difference(name, "missing"))
        elif present != content:
            found.append(Difference(name, "changed", _diff(name, present, content)))
    before = _read_manifest(root / manifest)
    for name in sorted(before.hashes if before else ()):
        if name not in contents and (root / name).is_file():
            found.append(Difference(name, "stale"))
    return tuple(found)


def _replace_all(root: Path, changed: Mapping[str, bytes], removed: Iterable[str]) -> None:
    """Every file first under a temporary name, then all put in place; undone on any failure.

    The manifest, last in ``changed``, goes in last: where even undoing fails, each file still is
    what the old manifest or the same command's next run expects.
    """
    made_folders: list[Path] = []
    temporary: dict[str, Path] = {}
    originals: dict[str, bytes | None] = {}
    try:
        for name, content in changed.items():
            target = root / name
            made_folders += _make_folders(target.parent)
            handle, unique = tempfile.mkstemp(prefix=".pocketgen-", dir=target.parent)
            temporary[name] = Path(unique)
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
            temporary[name].chmod(_mode(target))  # mkstemp makes private files
        for name, path in temporary.items():
            originals[name] = _read(root / name)
            path.replace(root / name)
        for name in removed:
            if name not in changed and (root / name).is_file():
                originals[name] = _read(root / name)
                (root / name).unlink()
                with contextlib.suppress(OSError):  # a subfolder that is empty now
                    if (root / name).parent != root:
                        (root / name).parent.rmdir()
    except BaseException:
        with contextlib.suppress(OSError):
            for name, original in originals.items():
                if original is None:
                    (root / name).unlink(missing_ok=True)
                else:
                    (root / name).parent.mkdir(parents=True, exist_ok=True)
                    (root / name).write_bytes(original)
        for path in temporary.values():
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        for made in reversed(made_folders):
            with contextlib.suppress(OSError):
                made.rmdir()
        raise


def _make_folders(folder: Path) -> list[Path]:
    """Make the folder and its missing parents; those made, outermost first."""
    missing = []
    at = folder
    while not at.exists():
        missing.append(at)
        at = at.parent
    folder.mkdir(parents=True, exist_ok=True)
    return missing[::-1]


def _mode(target: Path) -> int:
    """The permissions of the file that is replaced, or those that a new file would get."""
    try:
        return target.stat().st_mode & 0o777
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def _refuse_places(root: Path, names: Iterable[str]) -> None:
    """Raise OutputError where a folder is needed and a file stands, or the reverse."""
    for place in (root, *root.parents):
        if place.is_dir():
            if not os.access(place, os.W_OK | os.X_OK):
                raise OutputError(f"{place} is not writable: choose another folder")
            break
        if place.exists() or place.is_symlink():
            raise OutputError(f"{place} is a file, but a folder is needed: choose another name")
    for name in names:
        if (root / name).is_dir():
            raise OutputError(f"{root / name} is a folder, but a file of that name is needed")
        for parent in PurePosixPath(name).parents:
            place = root / parent
            if place != root and place.exists() and not place.is_dir():
                raise OutputError(f"{place} is a file, but a folder of that name is needed")


@contextlib.contextmanager
def _reporting(root: Path) -> Iterator[None]:
    """Turn the operating system's refusals into one line."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise OutputError(
            f"{root} cannot be written ({reason}): nothing was changed; choose another folder"
        ) from error


def _read_manifest(path: Path) -> _Manifest | None:
    """The manifest, or None where there is none that this version understands."""
    content = _read(path)
    if content is None:
        return None
    try:
        read = json.loads(content)
        hashes = {_checked(str(k)): str(v) for k, v in read["sha256"].items()}
        if read["format"] != FORMAT:
            return None
        return _Manifest(str(read["of"]), hashes)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _unedited_stale(
    root: Path, before: _Manifest | None, contents: Mapping[str, bytes]
) -> list[str]:
    """Files that an earlier run wrote, that are no longer made, and that nobody edited."""
    if before is None:
        return []
    stale = []
    for name, digest in before.hashes.items():
        present = None if name in contents else _read(root / name)
        if present is not None and _sha256(present) == digest:
            stale.append(name)
    return stale


def _diff(name: str, present: bytes, generated: bytes) -> tuple[str, ...]:
    try:
        old, new = present.decode().splitlines(), generated.decode().splitlines()
    except UnicodeDecodeError:
        return ()
    return tuple(difflib.unified_diff(old, new, f"{name} (here)", f"{name} (new)", lineterm=""))


def _read(path: Path) -> bytes | None:
    """The file's bytes; None where there is no file."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as error:
        raise OutputError(f"{path} cannot be read ({error.strerror})") from error


def _checked(name: str) -> str:
    """The name, if it stays inside the folder."""
    parts = PurePosixPath(name)
    if parts.is_absolute() or not parts.parts or ".." in parts.parts or "\\" in name:
        raise OutputError(f"{name!r} is no file name inside the output folder")
    return name


def _bytes(content: Content) -> bytes:
    return content.encode() if isinstance(content, str) else content


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _listed(names: list[str]) -> str:
    """At most three names, and how many more."""
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"

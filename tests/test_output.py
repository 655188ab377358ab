"""Writing a folder of generated files: whole or not at all, never over anybody's work."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pocketgen import output
from pocketgen.errors import OutputError
from pocketgen.output import differences, refuse_unsafe, remove_files, write_files

files = {"a.h": "int a;\n", "a.c": "int a = 1;\n", "host/main.c": "int main(void);\n"}


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_files(tmp_path / "out", files, owner="a")
    return tmp_path / "out"


def test_files_and_manifest_are_written(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "out"
    result = write_files(folder, {**files, "w.pkt": b"\x00\xff"}, owner="a")
    assert result.written == ("a.c", "a.h", "host/main.c", "w.pkt")
    assert (result.unchanged, result.removed) == ((), ())
    assert (folder / "host" / "main.c").read_text() == files["host/main.c"]
    assert (folder / "w.pkt").read_bytes() == b"\x00\xff"
    manifest = json.loads((folder / "pocketgen.json").read_text())
    assert manifest["of"] == "a"
    assert sorted(manifest["sha256"]) == ["a.c", "a.h", "host/main.c", "w.pkt"]
    assert set(snapshot(folder)) == {*files, "w.pkt", "pocketgen.json"}  # no temporary file left


def test_the_same_files_give_the_same_bytes_and_are_left_alone(folder: Path) -> None:
    before = snapshot(folder)
    times = {name: (folder / name).stat().st_mtime_ns for name in before}
    result = write_files(folder, dict(reversed(files.items())), owner="a")
    assert result.written == ()
    assert result.unchanged == ("a.c", "a.h", "host/main.c")
    assert snapshot(folder) == before
    assert {name: (folder / name).stat().st_mtime_ns for name in before} == times


def test_text_is_written_with_line_feeds_on_every_system(tmp_path: Path) -> None:
    write_files(tmp_path, {"t.txt": "σ\nb\n"})
    assert (tmp_path / "t.txt").read_bytes() == "σ\nb\n".encode()


def test_new_content_replaces_what_pocketgen_wrote(folder: Path) -> None:
    result = write_files(folder, {**files, "a.c": "int a = 2;\n"}, owner="a")
    assert result.written == ("a.c",)
    assert (folder / "a.c").read_text() == "int a = 2;\n"


def test_permissions_survive(folder: Path) -> None:
    (folder / "a.c").chmod(0o600)
    write_files(folder, {**files, "a.c": "int a = 2;\n"}, owner="a")
    assert (folder / "a.c").stat().st_mode & 0o777 == 0o600


def test_a_file_edited_by_hand_is_never_overwritten(folder: Path) -> None:
    (folder / "a.c").write_text("mine")
    before = snapshot(folder)
    with pytest.raises(OutputError, match=r"edited by hand \(a\.c\).*--force"):
        write_files(folder, {**files, "a.h": "new\n"}, owner="a")
    assert snapshot(folder) == before
    assert write_files(folder, files, force=True, owner="a").written == ("a.c",)
    assert (folder / "a.c").read_text() == files["a.c"]


def test_an_edit_that_equals_the_new_content_is_no_obstacle(folder: Path) -> None:
    (folder / "a.c").write_text("int a = 3;\n")
    assert write_files(folder, {**files, "a.c": "int a = 3;\n"}, owner="a").written == ()


def test_a_deleted_file_is_written_again(folder: Path) -> None:
    (folder / "a.c").unlink()
    assert write_files(folder, files, owner="a").written == ("a.c",)


def test_the_users_own_files_are_kept(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    write_files(folder, {"a.h": files["a.h"]}, owner="a")
    assert (folder / "notes.txt").read_text() == "mine"


def test_the_users_own_file_under_a_generated_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("all:\n")
    with pytest.raises(OutputError, match=r"files of your own \(Makefile\)"):
        write_files(tmp_path, {**files, "Makefile": "other\n"})
    assert snapshot(tmp_path) == {"Makefile": b"all:\n"}


def test_stale_files_go_unless_they_were_edited(folder: Path) -> None:
    (folder / "a.h").write_text("mine")
    result = write_files(folder, {"b.c": "b\n"}, owner="a")
    assert result.removed == ("a.c", "host/main.c")
    assert set(snapshot(folder)) == {"a.h", "b.c", "pocketgen.json"}
    assert not (folder / "host").exists()


def test_another_models_folder_is_refused(folder: Path) -> None:
    before = snapshot(folder)
    with pytest.raises(OutputError, match="files of 'a', not of 'b'"):
        write_files(folder, {"b.c": "b\n"}, owner="b")
    assert snapshot(folder) == before
    assert write_files(folder, {"b.c": "b\n"}, owner="b", force=True).removed == (
        "a.c",
        "a.h",
        "host/main.c",
    )


def test_two_manifests_share_a_folder(folder: Path) -> None:
    write_files(folder, {"weights.pkt": b"w"}, owner="a", manifest="training.json")
    assert write_files(folder, files, owner="a").removed == ()
    assert (folder / "weights.pkt").read_bytes() == b"w"


@pytest.mark.parametrize("text", ["{}", "not json", '{"format": 99, "sha256": {}, "of": ""}', "[]"])
def test_a_foreign_manifest_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "pocketgen.json").write_text(text)
    with pytest.raises(OutputError, match="not written by this version"):
        write_files(tmp_path, files)
    assert snapshot(tmp_path) == {"pocketgen.json": text.encode()}
    write_files(tmp_path, files, force=True)


def test_a_manifest_cannot_lead_outside_the_folder(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("mine")
    folder = tmp_path / "out"
    folder.mkdir()
    digest = output._sha256(b"mine")
    manifest = {"format": 1, "of": "", "sha256": {"../outside.txt": digest}}
    (folder / "pocketgen.json").write_text(json.dumps(manifest))
    with pytest.raises(OutputError):
        write_files(folder, files)
    write_files(folder, files, force=True)
    assert outside.read_text() == "mine"


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    for place in (tmp_path / "out", tmp_path / "out" / "deeper"):
        for force in (False, True):
            with pytest.raises(OutputError, match="is a file, but a folder is needed"):
                write_files(place, files, force=force)
    assert snapshot(tmp_path) == {"out": b"mine"}


def test_files_and_folders_in_each_others_place_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.c").mkdir()
    with pytest.raises(OutputError, match="is a folder, but a file"):
        write_files(tmp_path, files, force=True)
    (tmp_path / "a.c").rmdir()
    (tmp_path / "host").write_text("mine")
    with pytest.raises(OutputError, match="is a file, but a folder"):
        write_files(tmp_path, files, force=True)
    assert snapshot(tmp_path) == {"host": b"mine"}


@pytest.fixture
def unprivileged(tmp_path: Path) -> Iterator[None]:
    """Without root's rights, for which no folder is read-only."""
    if os.geteuid() != 0:
        yield
        return
    reachable = {
        path: path.stat().st_mode
        for path in (tmp_path, *tmp_path.parents)
        if path.stat().st_mode & 0o055 != 0o055
    }
    for path, mode in reachable.items():
        path.chmod(mode | 0o055)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        for path, mode in reachable.items():
            path.chmod(mode)


@pytest.mark.skipif(
    not hasattr(os, "geteuid"), reason="folders are read-only by mode bits on POSIX"
)
def test_a_read_only_folder_is_refused(tmp_path: Path, unprivileged: None) -> None:
    mine = tmp_path.stat().st_uid == os.geteuid()
    if mine:
        tmp_path.chmod(0o500)
    try:
        for place in (tmp_path, tmp_path / "out"):
            with pytest.raises(OutputError, match=r"not writable|cannot be written"):
                write_files(place, files, force=True)
        assert list(tmp_path.iterdir()) == []
    finally:
        if mine:
            tmp_path.chmod(0o700)


def test_a_folder_that_cannot_even_be_looked_at_is_refused(
    tmp_path: Path, unprivileged: None
) -> None:
    closed = tmp_path / "closed"
    if os.access(tmp_path, os.W_OK) and os.getuid() != 0:
        closed.mkdir(mode=0o000)
    else:
        os.seteuid(0)
        closed.mkdir(mode=0o700)
        os.seteuid(65534)
    with pytest.raises(OutputError, match=r"Permission denied|not writable"):
        write_files(closed / "out", files)
    if os.getuid() != 0:
        closed.chmod(0o700)


@pytest.mark.parametrize("failing_call", [1, 2, 3, 4])
def test_a_failure_half_way_leaves_everything_as_it_was(
    folder: Path, monkeypatch: pytest.MonkeyPatch, failing_call: int
) -> None:
    before = snapshot(folder)
    calls = 0
    original = Path.replace

    def disk_full(self: Path, target: Path) -> Path:
        nonlocal calls
        calls += 1
        if calls == failing_call:
            raise OSError(28, "No space left on device")
        return original(self, target)

    monkeypatch.setattr(Path, "replace", disk_full)
    new = {"a.h": "1\n", "a.c": "2\n", "new/x.c": "3\n"}
    with pytest.raises(OutputError, match=r"No space left.*nothing was changed"):
        write_files(folder, new, owner="a")
    assert snapshot(folder) == before
    assert not (folder / "new").exists()


def test_ctrl_c_half_way_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_files(tmp_path / "deep" / "out", files)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../a.c", "/etc/a.c", "", "x/../../a.c", "x\\a.c"])
def test_names_outside_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match="no file name inside"):
        write_files(tmp_path / "out", {name: "x"})
    assert list(tmp_path.iterdir()) == []


def test_refuse_unsafe_by_names_alone(folder: Path) -> None:
    refuse_unsafe(folder, ["a.c", "other.c"], owner="a")
    (folder / "other.c").write_text("mine")
    with pytest.raises(OutputError, match=r"other\.c"):
        refuse_unsafe(folder, ["a.c", "other.c"], owner="a")
    refuse_unsafe(folder, ["a.c", "other.c"], owner="a", force=True)


def test_differences_of_an_up_to_date_folder(folder: Path) -> None:
    assert differences(folder, files, owner="a") == ()
    (folder / "notes.txt").write_text("mine")
    assert differences(folder, files, owner="a") == ()


def test_differences_name_missing_changed_and_stale_files(folder: Path) -> None:
    (folder / "a.c").write_text("int a = 9;\n")
    new = {"a.h": files["a.h"], "a.c": files["a.c"], "b.c": "b\n"}
    found = {d.name: d for d in differences(folder, new, owner="a")}
    assert {name: d.kind for name, d in found.items()} == {
        "a.c": "changed",
        "b.c": "missing",
        "host/main.c": "stale",
        "pocketgen.json": "changed",
    }
    assert "-int a = 9;" in found["a.c"].lines
    assert "+int a = 1;" in found["a.c"].lines


def test_differences_of_a_missing_folder(tmp_path: Path) -> None:
    found = differences(tmp_path / "none", files)
    assert [d.kind for d in found] == ["missing"] * 4
    assert not (tmp_path / "none").exists()


def test_differences_of_binary_files_have_no_lines(tmp_path: Path) -> None:
    write_files(tmp_path, {"w.pkt": b"\xff\x00"})
    found = differences(tmp_path, {"w.pkt": b"\xff\x01"})
    assert [(d.name, d.kind) for d in found] == [
        ("pocketgen.json", "changed"),
        ("w.pkt", "changed"),
    ]
    assert found[1].lines == ()


def test_remove_files_keeps_what_is_the_users(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    assert remove_files(folder).removed == ("a.c", "a.h", "host/main.c")
    assert snapshot(folder) == {"notes.txt": b"mine"}


def test_remove_files_takes_the_empty_folder_along(folder: Path) -> None:
    remove_files(folder)
    assert not folder.exists()

"""Files are complete or absent, and a failed write says why."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from CPS4Core import files
from CPS4Core.errors import CPS4Error
from CPS4Core.files import atomic_path, make_folder, read_json, write_json, write_text


def test_the_file_appears_whole_and_nothing_else_does(tmp_path: Path) -> None:
    write_json(tmp_path / "new" / "a.json", {"name": "L5/S ä", "n": 1})
    assert json.loads((tmp_path / "new" / "a.json").read_text("utf-8")) == {
        "name": "L5/S ä",
        "n": 1,
    }
    assert os.listdir(tmp_path / "new") == ["a.json"]


def test_the_temporary_name_keeps_the_suffixes(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "case.seg.nrrd") as temporary:
        assert temporary.name.endswith(".seg.nrrd")
        assert temporary.parent == tmp_path
        temporary.write_bytes(b"x")


def test_a_crash_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError("the work failed")
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_second_write_replaces_the_first(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "a long first version")
    write_text(tmp_path / "a.txt", "second")
    assert (tmp_path / "a.txt").read_text() == "second"


@pytest.mark.parametrize(
    ("number", "cure"),
    [
        (errno.ENOSPC, "Free some space"),
        (errno.EROFS, "disk that can be written"),
        (errno.EACCES, "may write to"),
        (errno.EBUSY, "a folder on that disk"),
        (errno.ENAMETOOLONG, "shorter name"),
        (errno.EIO, "Check the disk"),
    ],
)
def test_a_failed_write_keeps_the_old_file_and_tells_the_cure(
    number: int, cure: str, tmp_path: Path
) -> None:
    target = tmp_path / "weights.bin"
    target.write_bytes(b"old")
    with pytest.raises(CPS4Error, match=cure) as caught, atomic_path(target) as temporary:
        temporary.write_bytes(b"half")
        raise OSError(number, os.strerror(number), str(temporary))
    assert str(target) in str(caught.value)
    assert ".partial" not in str(caught.value)
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["weights.bin"]


def test_a_disk_that_fills_at_the_last_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write_text(tmp_path / "a.txt", "old")
    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(CPS4Error, match="No space left"):
        write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() == 0, reason="needs a user whom permissions bind"
)
def test_a_read_only_folder_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    with pytest.raises(CPS4Error, match="may write to"):
        make_folder(folder)
    with pytest.raises(CPS4Error, match="may write to"):
        write_text(folder / "a.txt", "x")


def test_a_folder_that_refuses_new_files_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(CPS4Error, match="may write to") as caught:
        make_folder(tmp_path / "locked")
    assert str(tmp_path / "locked") in str(caught.value)


def test_an_output_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(CPS4Error, match="taken"):
        make_folder(tmp_path / "taken")
    with pytest.raises(CPS4Error, match="taken"):
        write_text(tmp_path / "taken" / "a.txt", "x")


@pytest.mark.parametrize("content", [b'{"cut": [1, 2', b"\xff\xfe\x00", b""])
def test_a_damaged_json_file_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(CPS4Error, match=r"splits cannot be read.*a\.json"):
        read_json(tmp_path / "a.json", "splits")


def test_a_missing_json_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CPS4Error, match=r"splits is missing.*a\.json"):
        read_json(tmp_path / "a.json", "splits")


def test_what_a_killed_process_left_goes_with_the_next_write(tmp_path: Path) -> None:
    """Nested names too: a writer inside of a staging. A young one may be somebody's."""
    old = [tmp_path / ".partial-0123abcd-a.txt", tmp_path / ".partial-0-.partial-1-a.txt"]
    others = [tmp_path / ".partial-0123abcd-b.txt", tmp_path / ".partial-4567abcd-a.txt"]
    for path in (*old, *others):
        path.write_text("half")
    folder = tmp_path / ".partial-0123abcd-study"
    (folder / "imagesTr").mkdir(parents=True)
    for path in (*old, others[0], folder):
        os.utime(path, (0, 0))
    write_text(tmp_path / "a.txt", "whole")
    assert not any(path.exists() for path in old) and all(path.exists() for path in others)
    files.remove_abandoned(tmp_path / "study")
    assert not folder.exists()

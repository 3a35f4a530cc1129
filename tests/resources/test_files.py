"""Files that appear when they are whole."""

from pathlib import Path

import pytest

from aiotokengate._resources.files import write_file


def test_a_file_is_written_and_written_over(tmp_path: Path) -> None:
    target = tmp_path / "猫.png"
    for data in (b"one", b"two"):
        write_file(target, data)
        assert target.read_bytes() == data
    assert list(tmp_path.iterdir()) == [target]


def test_nothing_is_left_of_a_file_that_has_no_place(tmp_path: Path) -> None:
    """A directory stands there."""
    (tmp_path / "cat.png").mkdir()
    with pytest.raises(OSError, match=r"cat\.png"):
        write_file(tmp_path / "cat.png", b"data")
    assert [path.name for path in tmp_path.iterdir()] == ["cat.png"]


def test_where_no_directory_is_there_is_nothing_to_clean_up(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_file(tmp_path / "nowhere" / "cat.png", b"data")

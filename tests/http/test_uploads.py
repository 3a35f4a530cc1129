"""What is uploaded: where files may come from, what they are called, and what is sent again."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from aiotokengate import CallerError
from aiotokengate._http.uploads import FilePart, OneTimeStream, file_part, form_of

SOUND = "声音 🎵".encode()


async def pieces() -> AsyncIterator[bytes]:
    yield SOUND
    yield SOUND


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Write a file to upload."""
    found = tmp_path / "录音.mp3"
    found.write_bytes(SOUND)
    return found


@pytest.mark.parametrize(
    "source",
    [SOUND, bytearray(SOUND), memoryview(SOUND)],
    ids=["bytes", "bytearray", "memoryview"],
)
def test_bytes_are_copied_and_named_for_the_field(source: bytes | bytearray | memoryview) -> None:
    """What the caller changes later is not sent."""
    part = file_part("file", source)
    assert part == FilePart("file", SOUND, "file", "application/octet-stream")
    assert type(part.source) is bytes


def test_a_path_gives_the_name_and_the_type(path: Path) -> None:
    """A text is a path, too."""
    expected = FilePart("file", path, "录音.mp3", "audio/mpeg")
    assert file_part("file", path) == file_part("file", os.fspath(path)) == expected


def test_name_and_type_may_be_given(path: Path) -> None:
    """A given name decides the type, and a given type stands."""
    assert file_part("file", path, "a.png").content_type == "image/png"
    assert file_part("file", path, "a.png", "audio/x") == FilePart(
        "file", path, "a.png", "audio/x"
    )


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere.mp3", "expected file as the path of a file, there is none at 'nowhere.mp3'"),
        (Path(), r"expected file as the path of a file, there is none at '\.'"),
        (3, "expected file as bytes, a path or an async iterable of bytes, got int"),
        (None, "got NoneType"),
    ],
)
def test_what_is_no_file_is_refused(source: object, message: str) -> None:
    """Before anything is sent."""
    with pytest.raises(CallerError, match=message):
        file_part("file", source)


async def test_a_stream_is_sent_once(path: Path) -> None:
    """A form is spent when somebody has begun to read a stream of it; files are read again."""
    streamed = file_part("file", pieces())
    form = form_of({}, [file_part("other", path), streamed])
    assert not form.spent
    assert isinstance(streamed.source, OneTimeStream)
    assert [piece async for piece in streamed.source] == [SOUND, SOUND]
    assert form.spent
    assert not form_of({}, [file_part("other", path)]).spent


def test_fields_are_texts_or_json() -> None:
    """As servers expect it of a form."""
    form = form_of({"model": "whisper-1", "n": 2, "words": ["你好"], "on": True}, [])
    fields = {"model": "whisper-1", "n": "2", "words": '["你好"]', "on": "true"}
    assert dict(form.fields) == fields


def test_what_is_the_users_can_be_blanked(path: Path) -> None:
    """Texts, names and paths; a repr shows neither texts nor bytes."""
    form = form_of(
        {"prompt": "斑马 🦓"}, [file_part("file", path), file_part("more", SOUND, "b.mp3")]
    )
    assert {"斑马 🦓", "录音.mp3", str(path), "b.mp3"} <= set(form.texts())
    assert "斑马" not in repr(form)
    assert repr(SOUND) not in repr(form)

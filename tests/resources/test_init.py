"""The names of what can be asked for, each imported when it is asked for."""

import pytest

from aiotokengate import _resources
from aiotokengate._calls.many import Outcomes, unfit
from aiotokengate._resources.audio import Audio
from aiotokengate._resources.conversation import Conversation
from aiotokengate._resources.embeddings import Split, embed
from aiotokengate._resources.images import ImagesMaker
from aiotokengate._resources.jobs import Pollers
from aiotokengate._resources.models import list_models
from aiotokengate._resources.music import Music
from aiotokengate._resources.raw import make_raw_call
from aiotokengate._resources.tools import Bounds, ToolCalls, checked_tools
from aiotokengate._resources.videos import Videos

NAMES = {
    "Audio": Audio,
    "Bounds": Bounds,
    "Conversation": Conversation,
    "ImagesMaker": ImagesMaker,
    "Music": Music,
    "Outcomes": Outcomes,
    "Pollers": Pollers,
    "Split": Split,
    "ToolCalls": ToolCalls,
    "Videos": Videos,
    "checked_tools": checked_tools,
    "embed": embed,
    "list_models": list_models,
    "make_raw_call": make_raw_call,
    "unfit": unfit,
}


def test_every_name_is_what_it_says_and_there_is_no_other() -> None:
    for name, value in NAMES.items():
        vars(_resources).pop(name, None)  # as before anybody asked for it
        assert getattr(_resources, name) is value
    assert {*_resources.__all__} == {*NAMES}
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = _resources.Nothing  # type: ignore[attr-defined]

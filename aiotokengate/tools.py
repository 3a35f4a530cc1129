"""Tools that a model may call, and answers of a given type.

``gate.chat(…, tools=[function])`` takes plain functions, ``gate.run_tools`` runs them.
"""

from aiotokengate._resources.chat import RunOptions, Tools, TurnOptions
from aiotokengate._resources.structured import Tool, tool_of
from aiotokengate._resources.tools import ToolCalls, ToolOutcome, ToolRun

__all__ = [
    "RunOptions",
    "Tool",
    "ToolCalls",
    "ToolOutcome",
    "ToolRun",
    "Tools",
    "TurnOptions",
    "tool_of",
]

"""How Sphinx builds the documentation: Markdown, reference pages from the docstrings."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import aiotokengate

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "aiotokengate"
author = "aiotokengate contributors"
project_copyright = "2026, aiotokengate contributors"
version = release = aiotokengate.__version__

sys.path.insert(0, str(Path(__file__).parent))  # our own extensions
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "public_names",
    "make_rooms",
]
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_title = f"aiotokengate {version}"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_class_signature = "mixed"
autodoc_preserve_defaults = True  # the catalogue is a default, and longer than a page
autoclass_content = "class"
python_use_unqualified_type_names = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = False  # fields can be referred to

# Every reference has to resolve, except where there is nothing that it could resolve to.
nitpicky = True
nitpick_ignore_regex = [
    # Other projects: their inventories would have to be downloaded.
    (
        "py:.*",
        r"(aiohttp|asyncio|attrs|collections|enum|orjson|os|pathlib|redis|ssl|ssl_module|web)\..*",
    ),
    ("py:class", r"Callable\[\[\]"),
]


def copy_images(app: Sphinx, error: Exception | None) -> None:
    """Put the images of ``<picture>`` where their pages look: Sphinx copies no such ones."""
    if error is None:
        shutil.copytree(app.srcdir / "images", app.outdir / "images", dirs_exist_ok=True)


def setup(app: Sphinx) -> None:
    """Copy what Sphinx would leave behind."""
    app.connect("build-finished", copy_images)

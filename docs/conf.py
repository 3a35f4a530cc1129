"""How Sphinx builds the documentation: Markdown, reference pages from the docstrings."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from sphinx.util import logging

import aiotokengate

if TYPE_CHECKING:
    from docutils.nodes import Element
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

project = "aiotokengate"
author = "aiotokengate contributors"
project_copyright = "2026, aiotokengate contributors"
version = release = aiotokengate.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
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
        r"(aiohttp|asyncio|attrs|collections|enum|orjson|os|pathlib|redis|ssl|ssl_module)\..*",
    ),
    # Aliases, or imported for type checkers alone: autodoc can't tell where they come from.
    (
        "py:class",
        r"(.*\.)?Clock|Messages|Priority|Remaining|Status|Step|Redis(Cluster)?|Callable\[\[\]",
    ),
    ("py:class", r"(.*\.)?(LocalLane|Link|_Seen)"),
    (
        "py:class",
        r"EmbeddingInput|Reasoning|ProtocolName|Prefix|Tools|Method|Source|Json|Way|Ask|(Video|Music)Dialect",
    ),
    # What only the session makes and passes on.
    (
        "py:class",
        r"(.*\.)?(Requester|Request|Defaults|Options|MusicOptions|Body|Watch|DownloadTerms)",
    ),
    (
        "py:class",
        r"(.*\.)?(OneTimeStream|Bounds|JobReport|JobSystem|Pollers|Poller|Submit|Content|Receiver)",
    ),
    ("py:class", r"(.*\.)?(AwaitedCall|FetchedCall|ImageData|Mark)|array|(pathlib\.)?Path"),
    # What decides how something is copied, and nothing else.
    ("py:class", r"aiotokengate\.copying\.(Shared|Unique)"),
    # Type variables.
    ("py:.*", r"(.*\.)?(T|_Asked)"),
]


def find_public(
    app: Sphinx, environment: BuildEnvironment, node: pending_xref, content: Element
) -> Element | None:
    """Find a public name that a docstring of another module mentions by its short name."""
    if node.get("refdomain") != "py" or node["reftarget"].startswith("aiotokengate."):
        return None
    domain, target = environment.domains.python_domain, f"aiotokengate.{node['reftarget']}"
    where, kind = node["refdoc"], node["reftype"]
    return domain.resolve_xref(environment, where, app.builder, kind, target, node, content)


def check_public_names(_app: Sphinx, environment: BuildEnvironment) -> None:
    """Warn, which fails the build, if a public name has no entry in the reference."""
    documented = environment.domains.python_domain.objects
    missing = [n for n in aiotokengate.__all__ if f"aiotokengate.{n}" not in documented]
    if missing:
        logging.getLogger(__name__).warning("not in the reference: %s", ", ".join(missing))


def copy_images(app: Sphinx, error: Exception | None) -> None:
    """Put the images of ``<picture>`` where their pages look: Sphinx copies no such ones."""
    if error is None:
        shutil.copytree(app.srcdir / "images", app.outdir / "images", dirs_exist_ok=True)


def setup(app: Sphinx) -> None:
    """Add our own checks."""
    app.connect("build-finished", copy_images)
    app.connect("missing-reference", find_public)
    app.connect("env-check-consistency", check_public_names)

"""How `make docs` builds the site: Sphinx reads the Markdown and the notebooks where they lie, so that the links which
work in the repository work in the site too. Nothing is executed and nothing is fetched."""

import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent), str(DOCS)]

import pages  # noqa: E402

import darts_lab  # noqa: E402

project, author, copyright = "darts_lab", "The darts_lab authors", "The darts_lab authors, Apache-2.0"
version = release = darts_lab.__version__
root_doc = "docs/index"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
include_patterns = ["docs/**", "notebooks/**", "results/*.md", "CHANGELOG.md", "CONTRIBUTING.md"]
include_patterns += ["benchmarks/README.md", "tests/README.md", "tests/torture/README.md"]
exclude_patterns = [".venv", ".git", "build", "runs", "figures", "darts_lab", "node_modules", "**/.ipynb_checkpoints"]

nb_execution_mode = "off"  # the notebooks are shown with the outputs that are committed
nb_ipywidgets_js = {}  # no widget manager from elsewhere; the picture of a widget stands in its place
nb_merge_streams = True
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
myst_links_external_new_tab = False
suppress_warnings = ["mystnb.mime_priority"]

add_module_names = False
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 100
toc_object_entries_show_parents = "hide"

html_math_renderer = "mathml"
html_theme = "furo"
html_title = "darts_lab"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
templates_path = []


def setup(app):
    pages.write()
    app.add_html_math_renderer("mathml", (pages.formula, None), (pages.formula, None))
    app.connect("source-read", pages.folders)
    app.connect("autodoc-process-docstring", pages.as_rst)
    app.connect("build-finished", pages.front_door)

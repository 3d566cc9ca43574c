"""The templates of the report and of the READMEs' tables."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from chromagan.hub.markdown import FILTERS
from train.evaluation.results_table import markdown_table

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")), autoescape=select_autoescape(),
    undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
)  # fmt: skip
TEMPLATES.filters |= FILTERS
TEMPLATES.filters["markdown_table"] = lambda block: markdown_table(**{k: v for k, v in block.items() if k != "kind"})

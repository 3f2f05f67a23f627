"""All but the README is in pyproject.toml: its links are relative, for readers of the repository, and a package index
needs them whole."""

import re
import tomllib
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent


def readme_for_index() -> str:
    home = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Homepage"]
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    text = re.sub(r"!\[([^]]*)\]\((?!https?:)([^)]+)\)", rf"![\1]({home}/raw/main/\2)", text)
    return re.sub(r"\]\((?!https?:|#|mailto:)([^)]+)\)", rf"]({home}/blob/main/\1)", text)


setup(long_description=readme_for_index(), long_description_content_type="text/markdown")

"""CITATION.cff: the keys that version 1.2.0 of the format requires, and the version of the package."""

import yaml
from helpers import ROOT

from gan_cli import __version__


def test_the_citation_file_is_valid_and_up_to_date() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0" and citation["type"] == "software"
    assert all(isinstance(citation[key], str) for key in ("message", "title", "version", "license"))
    assert citation["version"] == __version__ and f'license = "{citation["license"]}"' in (
        ROOT / "pyproject.toml"
    ).read_text(encoding="utf-8")
    assert citation["authors"] and all({"name"} <= set(author) for author in citation["authors"])
    allowed = {"cff-version", "message", "type", "title", "authors", "version", "license", "keywords"}
    assert set(citation) <= allowed  # those of the format that are used here: a misspelled key is not accepted

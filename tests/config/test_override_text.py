"""Values of overrides: ordinary paths are taken as they are typed."""

import shlex

import pytest
from helpers import composed
from omegaconf import OmegaConf

from gan_cli.config import override_text, resume_overrides
from gan_cli.config.composer import arguments
from gan_cli.config.schema import check
from gan_cli.utils.errors import GanError

PATHS = [
    "my photos", "my photos (1)", "a#1", "a #1", "\u00fcn\u00efcode \u56fe", "a'b", 'a"b', "a=b", "{x}", "a{1}",
    "C:\\x", "a\\", "a\\'b", "a;b", "a&b", "(x", "x)", "a!b", "~/x", "<x>", "`x`", "$x", " lead", "trail ", "a  b",
    "100%", "key: value", "!!x",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_a_path_is_the_value_that_was_typed(path: str) -> None:
    assert composed("dataset=image_folder", f"dataset.root={path}").dataset.root == path
    assert override_text.value(f"dataset.root={path}") == path
    cfg = OmegaConf.create({"dataset": {"root": "before"}})
    resume_overrides.change(cfg, f"dataset.root={path}")
    assert cfg.dataset.root == path


@pytest.mark.parametrize("path", [*PATHS, "a,b", "[x]", "2024", "true", "null"])
def test_the_quoting_that_a_message_suggests_works(path: str) -> None:
    (word,) = shlex.split(override_text.literally("dataset.root", path))
    assert composed("dataset=image_folder", word).dataset.root == path


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-3", 1e-3), ("true", True), ("null", None), ("[1,a]", [1, "a"]), ("{a:1}", {"a": 1}), ("a:0", "a:0")],
)
def test_plain_values_keep_their_types(text: str, value: object) -> None:
    found = override_text.value(f"key={text}")
    assert found == value and type(found) is type(value)


def test_several_values_and_numbers_are_answered_by_the_quoting() -> None:
    with pytest.raises(GanError, match=r"add -m to run them all, .*dataset\.root="):
        composed("dataset=image_folder", "dataset.root=a,b")
    with pytest.raises(GanError, match="holds several values"):
        override_text.value("dataset.root=a,b")
    with pytest.raises(GanError, match=r"dataset\.root must be text, not 2024; .* is text"):
        check(composed("dataset=image_folder", "dataset.root=2024"))
    with pytest.raises(GanError, match="has no value"):
        override_text.value("dataset.root=")
    readable = ["loss=wgan,wgan_gp", "trainer.iterations=5"]
    assert arguments(readable).overrides == readable

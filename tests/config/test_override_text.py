"""Values of overrides: ordinary paths are taken as they are typed."""

import shlex

import pytest
from helpers import composed
from omegaconf import OmegaConf

from gan_cli.config import override_text, resume_overrides
from gan_cli.config.composer import Composer, arguments
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
    assert override_text.value(f"dataset.root={path}", None) == path
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
    found = override_text.value(f"key={text}", None)
    assert found == value and type(found) is type(value)


def test_several_values_and_numbers_are_answered_by_the_quoting() -> None:
    with pytest.raises(GanError, match=r"add -m to run them all, .*dataset\.root="):
        composed("dataset=image_folder", "dataset.root=a,b")
    with pytest.raises(GanError, match="holds several values"):
        override_text.value("dataset.root=a,b", None)
    with pytest.raises(GanError, match=r"dataset\.root must be text, not 2024; .* is text"):
        check(composed("dataset=image_folder", "dataset.root=2024"))
    with pytest.raises(GanError, match="has no value"):
        override_text.value("dataset.root=", None)
    readable = ["loss=wgan,wgan_gp", "trainer.iterations=5"]
    assert arguments(readable).overrides == readable


@pytest.mark.parametrize("word", ["=5", "=", "+=5", "~=5", "~", "++", " =5", ""])
def test_an_override_without_a_key_is_no_riddle(word: str) -> None:
    for read in (lambda: arguments([word]), lambda: resume_overrides.change(composed(), word)):
        with pytest.raises(GanError, match="names no key: write key=value"):
            read()


@pytest.mark.parametrize(
    ("word", "advice"),
    [
        ("seed=0,1", None),
        ("optimizer.lr=0,1", None),
        ("dataset=ring,grid", None),
        ("optimizer.betas=0.1,0.9", "optimizer.betas=[0.1,0.9]"),
        ("metric=fid,kid", "metric=[fid,kid]"),
        ("trainer.best_metric=a,b", "trainer.best_metric='a,b'"),
    ],
)
def test_a_list_of_values_is_answered_with_what_its_key_can_have(word: str, advice: str | None) -> None:
    with pytest.raises(GanError, match="is a sweep: add -m to run them all") as caught:
        composed(word)
    ways = str(caught.value).partition("run them all")[2]
    assert advice in " ".join(shlex.split(ways)) if advice else not ways, ways
    if "." in word:
        with pytest.raises(GanError, match="holds several values; give one") as caught:
            resume_overrides.change(composed(), word)
        ways = str(caught.value).partition("give one")[2]
        assert advice in " ".join(shlex.split(ways)) if advice else not ways, ways


def test_hydras_own_files_are_no_choice() -> None:
    with pytest.raises(GanError, match=r"^no config 'x'; there is: config$"):
        Composer(arguments(["--config-name=x"])).compose([])

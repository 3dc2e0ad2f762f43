"""Words of version 0.1 answer with the word of today, and that word works."""

import pytest
from helpers import composed
from omegaconf import OmegaConf

from gan_cli.cli.verbs import VERBS
from gan_cli.config import renamed
from gan_cli.config.migrations.names_of_0_1 import CHOICES, DIRECTIONS, GONE, KEYS
from gan_cli.config.paths import conf_dir
from gan_cli.utils.errors import GanError


@pytest.mark.parametrize(
    ("group", "old", "new"), [(group, *names) for group, choices in CHOICES.items() for names in choices.items()]
)
def test_choices(group: str, old: str, new: str) -> None:
    assert (conf_dir() / group / f"{new}.yaml").is_file() and not (conf_dir() / group / f"{old}.yaml").exists()
    for verb, word in (("train", f"{group}=[{old}]"), ("resume", f"+{group}={old}"), ("train", f"{group}=x,{old}")):
        with pytest.raises(GanError, match=rf"^{group}={old} was renamed to {group}={new}$"):
            renamed.refuse(verb, ["seed=0", word])
    renamed.refuse("train", [f"{group}={new}"])
    with pytest.raises(GanError, match=rf"^{group}={old} was renamed to {group}={new}$"):
        composed(f"{group}=[{old}]" if group == "metric" else f"{group}={old}")  # in a file of the user's own


@pytest.mark.parametrize(("old", "new"), KEYS.items())
def test_keys(old: str, new: str) -> None:
    for word in (f"{old}=1", f"++{old}.field=1", f"space.{old}=[1,2]"):
        with pytest.raises(GanError, match=rf"^{old} was renamed to {new}$"):
            renamed.refuse("search", [word])
    renamed.refuse("train", [f"{new}=1"])
    section, _, key = new.partition(".")
    node = OmegaConf.load(conf_dir() / "hydra/sweeper/grid.yaml") if section == "sweep" else composed()[section]
    assert key in node


@pytest.mark.parametrize(
    ("verb", "old", "new"), [(verb, *names) for verb, options in renamed.OPTIONS.items() for names in options.items()]
)
def test_options_and_verbs(verb: str, old: str, new: str) -> None:
    with pytest.raises(GanError, match=rf"^{old} was renamed to {new}$"):
        renamed.refuse(verb, [f"{old}=1"])
    assert new in VERBS[verb].options and old not in VERBS[verb].options
    renamed.refuse("train", [f"{old}=1"])
    assert set(renamed.VERBS.values()) <= set(VERBS) and not set(renamed.VERBS) & set(VERBS)


def test_directions_and_keys_that_are_gone() -> None:
    for old, new in DIRECTIONS.items():
        with pytest.raises(GanError, match=rf"^direction={old} was renamed to direction={new}$"):
            renamed.refuse("translate", [f"direction={old}"])
    with pytest.raises(GanError, match=r"^variants=peer was renamed to variants=baseline$"):
        renamed.refuse("bench", ["variants=plain,peer+malloc"])
    for key in GONE:
        with pytest.raises(GanError, match=rf"^{key} was removed"):
            renamed.refuse("train", [f"{key}=true"])


@pytest.mark.parametrize(
    ("accepted", "refused"),
    [
        ("compare metric=error", "evaluate metric=error"),  # a value of classification_error, which kept its name
        ("train dataset.root=toy", "train network=toy"),
        ("train hydra.run.dir=partner", "train metric=partner"),
        ("train model.x.slots=2", "search slots=2"),
        ("export network=G", "export network=toy"),
    ],
)
def test_words_that_only_look_like_old_ones(accepted: str, refused: str) -> None:
    renamed.refuse(*split(accepted))
    with pytest.raises(GanError, match="was renamed to"):
        renamed.refuse(*split(refused))


def split(line: str) -> tuple[str, list[str]]:
    verb, word = line.split(" ")
    return verb, [word]

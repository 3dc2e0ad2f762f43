"""docs/PAIRS.md, the table of all losses with all models: every cell is a model that was built and tried.

`make pairs` runs this file, which prints the page.
"""

import functools
import itertools
import re

import pytest
from helpers import ROOT, composed, config_names
from omegaconf import DictConfig

from gan_cli.config.groups import description
from gan_cli.config.paths import conf_dir
from gan_cli.data.base import Dataset
from gan_cli.training import build
from gan_cli.utils.errors import GanError

PAGE = ROOT / "docs" / "PAIRS.md"
HEAD = """\
<!-- Written by `make pairs`. -->
# Which losses go with which models

`gan train model=MODEL loss=LOSS` with the model's default networks and data set: **+** it is trained; **w** it is
trained, with a warning that the penalty takes the gradient of each sample alone while the critic normalizes over the
batch (`norm=layer` or `none` of the critic resolves this); **a number**: it is refused before anything is written, for
the reason below the table. For every cell the model was trained for one iteration of 4 samples, with narrow networks.
"""
CHECKED = ("gmmn", "cls_gan")  # by the test, as all models would take a minute


def small(model: str) -> tuple[DictConfig, Dataset]:
    """The model with narrow networks, and its own data set."""
    cfg = composed(f"model={model}", "trainer.batch_size=4")
    for name, node in cfg.model.items():
        if isinstance(node, DictConfig) and "width" in node:
            node.width = 16 if name == "G1" else 8  # pix2pixHD's G1 is twice as wide as its G2
    return cfg, build.dataset(cfg)


@functools.cache
def objective(loss: str) -> DictConfig:
    return DictConfig(composed(f"loss={loss}").loss)


def verdict(cfg: DictConfig, data: Dataset, loss: str) -> str:
    """+, w, or the reason for which the combination is refused."""
    cfg.loss = objective(loss)
    try:
        system = build.system(cfg)
        build.match(cfg, system, data)
        build.dry_run(cfg, system, data)
        warning = build.warn_batchnorm_penalty(system)
        trainer = build.trainer(cfg, system, data)
        trainer.iterate()
        trainer.check_finite()
        trainer.check_weights()
    except GanError as error:
        return re.sub(r"^model \S+ with these networks cannot be trained on a batch of \d+ from \S+: ", "", str(error))
    return "w" if warning else "+"


def page() -> str:
    models, losses = config_names("model"), config_names("loss")
    parts = {model: small(model) for model in models}
    reasons: dict[str, int] = {}
    lines = [HEAD, f"| loss | {' | '.join(models)} |", "| --- |" + " --- |" * len(models)]
    for loss in losses:
        cells = [verdict(*parts[model], loss) for model in models]
        marks = [cell if cell in "+w" else str(reasons.setdefault(cell, len(reasons) + 1)) for cell in cells]
        lines.append(f"| {loss} | {' | '.join(marks)} |")
    lines += ["", *(f"{number}. {reason}" for reason, number in reasons.items()), ""]
    lines += ["The models:", "", *(f"- `{m}`: {description(conf_dir() / 'model' / f'{m}.yaml')}" for m in models), ""]
    return "\n".join(lines)


def table(text: str) -> dict[tuple[str, str], str]:
    """(loss, model) -> mark, with the reason in the place of its number."""
    reasons = dict(re.findall(r"^(\d+)\. (.*)$", text, re.MULTILINE))
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in text.splitlines() if line[:2] == "| "]
    head, body = rows[0], rows[2:]
    return {
        (cells[0], model): reasons.get(mark, mark)
        for cells in body
        for model, mark in zip(head[1:], cells[1:], strict=True)
    }


def test_the_page_has_every_pair() -> None:
    assert set(table(PAGE.read_text())) == set(itertools.product(config_names("loss"), config_names("model")))


@pytest.mark.parametrize("model", CHECKED)
def test_the_page_is_up_to_date(model: str) -> None:
    expected, (cfg, data) = table(PAGE.read_text()), small(model)
    for loss in config_names("loss"):
        assert verdict(cfg, data, loss) == expected[loss, model], loss


def test_refusals_are_one_line_with_a_reason() -> None:
    refused = {text for text in table(PAGE.read_text()).values() if text not in "+w"}
    assert refused and all(len(text) > 20 and "Error" not in text for text in refused)


if __name__ == "__main__":
    print(page(), end="")

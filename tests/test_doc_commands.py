"""The commands in the documentation: each is run here at a small size, or says what it needs that is not here."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from helpers import ROOT, TINY, fill_shards, save_plain, write_mnist

from gan_cli.cli.main import main
from gan_cli.cli.parser import parse
from gan_cli.cli.verbs import VERBS

ELSEWHERE = {"CONTRIBUTING.md": "test_contributing.py", "CHANGELOG.md": "", "ERRORS.md": "", "DEMOS.md": ""}
"""Pages whose commands other tests run (of DEMOS.md tests/tools/test_demo_pages.py), or that describe the past."""
PAGES = sorted(p for p in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")] if p.name not in ELSEWHERE)
NEEDS = re.compile(r"#.*\b(needs? (a|the|another) (GPU|network|checkout|microphone|browser|account)|downloaded)\b")
"""What the comment of a command says that is not run here."""


class Command(NamedTuple):
    """A command of a page; line: as it is printed, with its comment."""

    page: str
    line: str

    def __str__(self) -> str:
        return f"{self.page}: {self.line}"


def commands(page: Path) -> Iterator[Command]:
    """The lines of all code blocks that start with gan, in their order, with variables and loops filled in."""
    text = page.read_text(encoding="utf-8")
    fenced = re.findall(r"^```(?:sh|bash)?\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    indented = re.findall(r"^    (gan .*\n)", re.sub(r"```.*?```", "", text, flags=re.DOTALL), flags=re.MULTILINE)
    for block in [*fenced, *indented]:
        block = block.replace("\\\n", " ")
        variables = dict(re.findall(r'\b(\w+)=("[^"]*"|[^\s;"]+);', block))
        variables |= {name: words.split()[0] for name, words in re.findall(r"for (\w+) in ([^;]+); do", block)}
        for line in block.splitlines():
            line = re.sub(r"^cd [\w/]+ && ", "", line.strip().removeprefix("$ ").removeprefix(".venv/bin/"))
            for name, value in variables.items():
                line = line.replace(f"${{{name}}}", value).replace(f"${name}", value.strip('"'))
            if line.startswith("gan "):
                yield from (Command(page.name, part.strip()) for part in re.split(r"; (?=gan )", line))


COMMANDS = list(dict.fromkeys(command for page in PAGES for command in commands(page)))
HERE = [command for command in COMMANDS if not NEEDS.search(command.line)]

CYCLEGAN = [*(f"model.{n}.width=2" for n in ("G", "F", "D_X", "D_Y")), "model.G.blocks=1", "model.F.blocks=1"]
DRIT = ("content", "attribute", "generator", "D_X", "D_Y", "D2_X", "D2_Y")
RUNS = {
    "shapes": ["model.generator.width=2", "model.discriminator.width=2", "dataset.size=8"],
    "stripes": ["model=cyclegan", "dataset.size=8", *CYCLEGAN],
    "noise": ["model=pix2pix_noise", "dataset.size=8"],
    "style": ["model=drit", "network=drit_small", "dataset.size=8", *(f"model.{n}.width=4" for n in DRIT)],
    "gaussian": ["experiment=fgan_gaussian"],
    "classes": ["model=acgan", "dataset.size=8", "model.generator.width=2", "model.discriminator.width=2"],
}
"""The runs that stand for those of the pages."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs, sweeps, images and data sets that the pages name."""
    root = tmp_path_factory.mktemp("pages")
    for name, overrides in RUNS.items():
        words = ["train", "-m", *TINY, *overrides, "seed=0,1", "hydra/launcher=basic"]
        assert main([*words, f"hydra.sweep.dir={root}/sweeps/{name}"]) == 0
    for name in ("photos", "generated", "paintings", "large"):
        for number, image in enumerate(("cat", "dog", "bird", "fish", "cow", "hen", "bee", "ant")):
            save_plain(root / name / f"{image}.jpg", (30 * number, 90, 200 - 20 * number), (40, 36))
    for side in "AB":
        save_plain(root / "scans" / f"train{side}" / "1.png", (90, 120, 150), (40, 36))
        for name in ("photos", "photos64"):
            save_plain(root / "guide" / name / f"train{side}" / "1.png", (90, 120, 150), (40, 36))
    save_plain(root / "guide" / "photos" / "testA" / "2.png", (90, 120, 150), (40, 36))
    (root / "guide" / "horses").symlink_to(root / "sweeps/stripes/0-seed_0")
    fill_shards(root / "shards")
    write_mnist(root / "mnist")
    assert main(["evaluate", f"real={root}/photos", f"stats={root}/photos.npz", "extractor=random"]) == 0
    return root


PLACEHOLDERS = {
    "outputs/imported/latest_net_G_A": "RUN_DIR",
    "=FOLDER": "=photos",
    "metric=...": "metric=kid",
    "metric=is,mode_score,modified_is,": "metric=",
    "fid,kid,prdc,one_nn,mmd,ndb,parzen,diversity,ms_ssim": "fid,kid,one_nn,ms_ssim",
    "checkpoint=best": "checkpoint=last metric=kid",  # these runs compute no metric during training
    "reproduce fgan_mnist": "reproduce fgan_mnist variant=kl",  # a divergence may diverge, as in the table
}
"""What of a page has no meaning for few samples and short runs -> what is run instead."""


def stand_in(line: str) -> str:
    """The command with what `folder` holds in place of what the page names."""
    for there, here in PLACEHOLDERS.items():
        line = line.replace(there, here)
    verb = line.split()[1]
    kind = "stripes" if verb in ("translate", "export", "web") or re.search(r"input=|sheet=true", line) else "shapes"
    if verb in ("translate", "compare", "evaluate") and re.search(r" n=3 |samples=|translation_diversity", line):
        kind = "noise"
    kind = "style" if "style=" in line else "gaussian" if "gaussian_fit" in line else kind
    if " label=" in line:
        kind, line = "classes", re.sub(r" label=\w+", " label=star", line)
    line = line.replace("train-{000000..000146}", "s-{000..003}").replace("val-{00..03}", "s-{004..004}")
    line = line.replace(" gan ebgan ebgan_pt histogram=I_prime", " SWEEP")
    line = re.sub(r" (bin_width|filter)=\S+| 'filter=[^']*'", "", line)
    for number in (0, 1):
        run = f"sweeps/{kind}/{number}-seed_{number}"
        line = re.sub(r"\b(outputs/DAY/RUN|RUN_DIR|RUN)( \.\.\.)?(?= |$)", run, line, count=1)
    if verb in ("compare", "resume"):
        line = re.sub(r"\bSWEEP\b|\b(outputs/)(sweeps|reproduce)/[\w-]+", f"sweeps/{kind}", line)
    return line


SMALL = {
    "train": [*TINY, "trainer.iterations=1", "trainer.evaluate_count=12"],
    "sample": ["n=4"],
    "evaluate": ["n=8", "extractor=random"],
    "search": ["trials=1", *TINY],
    "reproduce": ["seeds=0", *TINY, "out=results"],
}
"""What makes the commands of a verb small; it replaces what they say of the same options."""


def small(line: str) -> list[str]:
    """The words of the command after `gan`, at a small size."""
    words = shlex.split(stand_in(line), comments=True)[1:]
    options = SMALL.get(words[0], [])
    keys = {option.partition("=")[0] for option in options}
    words = [word for word in words if word.partition("=")[0] not in keys]
    text = " ".join(words)
    if "-m" in words:  # one trial, in this process
        words = [word for word in words if not word.startswith(("sweep.sample", "sweep.workers"))]
        options = [*options, "sweep.sample=1", "hydra/launcher=basic"]
    if words[0] == "resume" and len(words) == 2 and "seed_0" in words[1]:
        options = ["trainer.iterations=3"]
    if "of=training" in text:  # a film of the grids that there are
        options = []
    if words[0] == "evaluate" and ("fid" in text or not re.search("metric=|stats=", text)):
        options = [*options, "metric.fid.allow_singular=true"]
    if "mnist:" in text:
        options = [*options, "dataset.root=mnist"]
    if "ladder" in text:
        options = [*options, "dataset.num_labels=10"]
    if words[0] in ("train", "reproduce"):
        if not re.search("dataset[.=]|mnist|lsun|gaussian|ring", text):
            options = [*options, "dataset.size=8"]
        if "cyclegan" in text:
            words = [word for word in words if "width=" not in word and "blocks=" not in word]
            options = [*options, *CYCLEGAN]
        if "mnist" in text:
            options = [*options, "dataset.root=mnist"]
    return [*words, *options]


OTHER_TESTS = {
    "web": "inference/test_web_demo.py",
    "import": "inference/test_import_weights.py",
    "bench": "tools/test_bench.py",
    "demo": "tools/test_demo_pages.py",
    "doctor": "tools/test_doctor.py",
    "push": "inference/test_hub.py",
    "pull": "inference/test_hub.py",
}
"""Verbs that their own tests run: servers, files of other codes, measurements. Here their options are read."""


@pytest.mark.parametrize("command", HERE, ids=str)
def test_commands_of_the_pages(command: Command, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_guide = command.page == "IMAGES.md" and re.search(r"photos\b|photos64|horses", command.line)
    monkeypatch.chdir(folder / "guide" if in_guide and "RUN_DIR" not in command.line else folder)
    words = [re.sub(r"^(out|hydra.run.dir)=", rf"\1={tmp_path}/", word) for word in small(command.line)]
    if words[0] in OTHER_TESTS:
        assert (ROOT / "tests" / OTHER_TESTS[words[0]]).exists()
        known = VERBS[words[0]].helps
        parse(words[0], [word for word in words[2:] if word.partition("=")[0] in known])
    else:
        assert main(words) == 0

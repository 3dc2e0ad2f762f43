"""`gan report`: what the pages of a run and of a sweep say, and that a stranger's run puts nothing else into them."""

import base64
import io
import itertools
import json
import os
import re
import shlex
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from helpers import ROOT, TINY_RING
from PIL import Image

from gan_cli.cli.main import main
from gan_cli.tools.html_report import curves, grids, markup, report, series, sweep_page
from gan_cli.training import checkpoint, run_history
from gan_cli.utils.errors import GanError

VOID = {"meta", "link", "img", "input", "wbr"}
HOSTILE = "<script>alert(1)</script>\" onload=alert(2) '><img src=x onerror=alert(3)> javascript:alert(4) \u202e\x1b[2J"


class Page(HTMLParser):
    """A page that is checked while it is parsed: elements are closed, and nothing is loaded or run but its own."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []
        scripts = [attributes for name, attributes in self.tags if name == "script"]
        assert scripts == [{}]
        for _, attributes in self.tags:
            assert not [key for key in attributes if key.startswith("on") or key in ("style", "action", "srcdoc")]
            for key in ("src", "href"):
                assert (attributes.get(key) or "data:,").startswith(("data:image/", "data:,"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data if not {"script", "style"} & {*self.open} else ""

    def all(self, name: str, **wanted: str) -> list[dict[str, str | None]]:
        return [found for tag, found in self.tags if tag == name and wanted.items() <= found.items()]


def page_of(folder: Path, out: Path | None = None) -> Page:
    report(folder, out=None if out is None else str(out))
    return Page((out or folder / "report.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    words = ["trainer.iterations=20", "trainer.log_every=1", "trainer.sample_every=5", "trainer.evaluate_every=10",
             "trainer.evaluate_count=32", "metric=[modes]", "loss=least_squares", "optimizer.lr=0.003"]  # fmt: skip
    assert main(["train", *TINY_RING, *words, f"hydra.run.dir={folder}"]) == 0
    assert main(["evaluate", str(folder), "metric=modes", "n=64", "device=cpu"]) == 0
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def changed(folder: Path, **settings: object) -> Path:
    """The run with other values in its config, by names with __ for a dot."""
    config = yaml.safe_load((folder / "config.yaml").read_text())
    for name, value in settings.items():
        *above, last = name.split("__")
        node = config
        for key in above:
            node = node[key]
        node[last] = value
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


def with_facts(run: Path, **known: object) -> Path:
    before = json.loads((run / "provenance.json").read_text())
    (run / "provenance.json").write_text(json.dumps(before | known))
    return run


# -- a run


def test_the_page_of_a_run_says_what_it_was_and_how_it_went(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(run)]) == 0
    assert "report.html" in capsys.readouterr().out
    page = Page((run / "report.html").read_text())
    assert "finished" in page.text and "Mao et al. 2017" in page.text and "dcgan on ring" in page.text
    sizes = checkpoint.weight_counts(run / "checkpoints/last.pt")
    for name, size in sizes.items():
        assert re.search(rf"{name}\s*Point\w+\s*{size:,}", page.text)
    assert re.search(r"optimizer\.lr\s*0\.003\s*0\.0002", page.text)
    assert re.search(r"trainer\.iterations\s*20\s*1500", page.text)
    assert "_target_: gan_cli.networks.mlp.PointGenerator" in page.text  # the whole configuration
    record = run_history.read(run).records[-1]
    assert f"generated {record['protocol']['generated']}" in page.text and "↑ higher is better" in page.text
    assert shlex.join(["gan", *record["command"][1:]]) in page.text
    command = "gan train network=mlp_points dataset=ring trainer.batch_size=8"
    assert command in page.text and "hydra.run.dir" not in page.text
    assert "d/grad_norm/discriminator" in page.text and "images_per_second" in page.text
    frames = [int(frame["data-iteration"] or -1) for frame in page.all("img")]
    assert frames == [0, 5, 10, 15, 20] and [image for image in page.all("img") if "hidden" not in image]
    assert all(image["alt"] for image in page.all("img"))
    assert page.all("input", type="range", max="4") and "All 5 grids" in page.text
    for svg in page.all("svg"):
        assert svg["role"] == "img" and "over the iterations" in str(svg["aria-label"])


def test_weights_are_counted_without_statistics(tmp_path: Path) -> None:
    import torch
    from helpers import small_state
    from torch import nn

    network = nn.utils.spectral_norm(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))[0])
    state = {f"G.{name}": value for name, value in nn.Sequential(network, nn.BatchNorm1d(4)).state_dict().items()}
    checkpoint.save(tmp_path / "a.pt", {**small_state(1), "system": {**state, "pool.images": torch.zeros(9)}})
    counts = checkpoint.weight_counts(tmp_path / "a.pt")
    assert counts["G"] == 3 * 4 + 4 + 2 * 4


def test_the_policy_allows_the_two_blocks_of_the_template_only(run: Path) -> None:
    import hashlib

    page = page_of(run)
    (policy,) = (found["content"] for found in page.all("meta") if found.get("http-equiv"))
    text = (run / "report.html").read_text()
    for name in ("script", "style"):
        code = text.partition(f"<{name}>")[2].partition(f"</{name}>")[0]
        assert base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() in str(policy)
    assert "default-src 'none'" in str(policy) and "unsafe" not in str(policy)
    assert not re.search(r"https?://", text)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda run: shutil.rmtree(run / "samples"), ["no sample grids"]),
        (lambda run: shutil.rmtree(run / "checkpoints"), ["finished"]),
        (lambda run: (run / "evaluation.jsonl").unlink(), ["Scores during training"]),
        (lambda run: changed(run, trainer__iterations=500), ["not finished: iteration 20 of 500", "Last logged"]),
        (lambda run: (run / "checkpoints/last.pt").write_bytes(b"PK broken"), ["finished", "20"]),
        (lambda run: (run / "metrics.jsonl").unlink(), ["has logged nothing", "finished"]),
        (
            lambda run: (run / "failure.json").write_text('{"status": 3, "error": "d/loss is nan at iteration 7"}'),
            ["diverged", "d/loss is nan at iteration 7"],
        ),
        (
            lambda run: with_facts(
                run, imported={"G": {"file": "a.pth"}, "directions": ["AtoB"]}, command=["gan", "import", "a b"]
            ),
            ["imported", "gan import 'a b'", "a.pth"],
        ),
        (
            lambda run: with_facts(run, resumes=[{"time": "2026", "iteration": 7, "overrides": ["seed=1"]}]),
            ["Resumes", "seed=1"],
        ),
        (
            lambda run: with_facts(run, choices={"model": "mine"}, overrides=["a=b"]),
            ["mine on Ring", "Settings as typed"],
        ),
    ],
)
def test_runs_of_all_kinds(change, words: list[str], run: Path) -> None:
    change(run)
    page = page_of(run)
    for word in words:
        assert word in page.text


def test_a_run_of_version_0_1(tmp_path: Path) -> None:
    import tarfile

    with tarfile.open(ROOT / "tests/stored_runs/runs_0_1.tar.xz") as archive:
        names = [member for member in archive if re.match(r"(\./)?toy/(?!checkpoints)", member.name)]
        archive.extractall(tmp_path, members=names, filter="data")
    page = page_of(tmp_path / "toy")
    assert "sgan on ring" in page.text and "mlp_points" in page.text


# -- images


def test_images_stay_within_the_budget_and_what_is_left_out_is_said(run: Path, monkeypatch) -> None:
    for iteration in range(30, 38):
        Image.effect_noise((900, 900), 90).save(run / f"samples/{iteration:06d}.png")
    monkeypatch.setattr(grids, "BUDGET", 10 * 80_000)
    monkeypatch.setattr(grids, "FRAMES", 10)
    page = page_of(run)
    shown = [int(str(frame["data-iteration"])) for frame in page.all("img")]
    assert shown[0] == 0 and shown[-1] == 37 and len(shown) == 10 and shown == sorted(shown)
    assert "10 of 13 grids; 10 recompressed as JPEG of at most 420 pixels" in page.text
    assert 4 / 3 * 5 * 40_000 < (run / "report.html").stat().st_size < 4 / 3 * 11 * 80_000


def test_small_images_keep_their_pixels(run: Path) -> None:
    page = page_of(run)
    image = page.all("img")[-1]
    content = base64.b64decode(str(image["src"]).partition(",")[2])
    with Image.open(io.BytesIO(content)) as shown, Image.open(run / "samples/000020.png") as file:
        assert shown.tobytes() == file.convert(shown.mode).tobytes()


def test_images_that_cannot_be_read_are_named(run: Path) -> None:
    (run / "samples/000005.png").write_text("no image")
    (run / "samples/000010.png").unlink()
    os.mkfifo(run / "samples/000010.png")
    (run / "samples/<b>.png").write_text("ignored")
    page = page_of(run)
    assert "000005.png" in page.text and "000010.png: not a regular file" in page.text and "<b>" not in page.text


# -- strangers


def test_nothing_of_a_strangers_run_becomes_markup(run: Path) -> None:
    changed(run, trainer__best_metric=HOSTILE, loss__adversarial={"_target_": HOSTILE, HOSTILE: HOSTILE})
    with_facts(
        run, choices={"model": HOSTILE, "dataset": HOSTILE, "experiment": HOSTILE, "loss": "../../x"}, git=HOSTILE,
        overrides=[f"seed={HOSTILE}", HOSTILE], command=["gan", "train", HOSTILE], folder=HOSTILE, time=HOSTILE,
        versions={HOSTILE: [HOSTILE]}, machine={HOSTILE: {HOSTILE: 1}}, device={"name": HOSTILE, "type": [HOSTILE]},
        resumes=[{"time": HOSTILE, "overrides": [HOSTILE], "iteration": "x"}, 3],
        imported={HOSTILE: HOSTILE, "directions": [HOSTILE]},
    )  # fmt: skip
    (run / "failure.json").write_text(json.dumps({"status": [], "error": HOSTILE, "overrides": [HOSTILE]}))
    line = {"iteration": 3, f"d/{HOSTILE}": 1.0, f"metric/{HOSTILE}": 2.0, f"d/grad_norm/{HOSTILE}": 3.0}
    record = {
        "metric": f"../../{HOSTILE}", "values": {HOSTILE: 1.0, "null": None}, "better": {HOSTILE: "higher"},
        "protocol": {HOSTILE: 5, "checkpoint": HOSTILE, "extractor": HOSTILE, "seed": [HOSTILE], "weights": HOSTILE},
        "command": ["gan", HOSTILE, [HOSTILE]], "time": HOSTILE,
    }  # fmt: skip
    for name, entry in (("metrics.jsonl", line), ("evaluation.jsonl", record)):
        with open(run / name, "a") as file:
            file.write(json.dumps(entry) + "\n")
    renamed = run.rename(run.with_name(HOSTILE.replace("/", "_")[:60]))
    page = page_of(renamed)
    assert "<script>alert(1)</script>" in page.text and "\x1b" not in page.text and "\u202e" not in page.text
    sweep = page_of(renamed.parent)
    assert "<script>alert(1)</script>" in sweep.text and "Failed runs" in sweep.text


def test_a_surrogate_in_a_name_is_written_out(run: Path) -> None:
    with_facts(run, machine={"system": "\ud800x"})
    assert "\\ud800x" in page_of(run).text


def test_a_log_that_is_no_log(run: Path) -> None:
    lines = [
        "no json", "[1, 2]", '{"iteration": -1, "d/a": 1}', '{"iteration": 1e5, "d/a": 1}', "[" * 100_000,
        '{"iteration": 21, "d/a": {"b": 1}}', '{"iteration": 21, "d/nan": NaN, "d/adversarial": Infinity}',
        '{"iteration": 22, "d/huge": 1e308, "g/adversarial": -1e300, "images_per_second": 1e-308}',
        '{"iteration": 9007199254740991, "d/late": 5e-324}', '{"iteration": 22, "d/late": 1e37}',
        json.dumps({"iteration": 23, **{f"d/{i}": i for i in range(2000)}}),
    ]  # fmt: skip
    with open(run / "metrics.jsonl", "a") as file:
        file.write("\n".join(lines) + "\n\x00\x00")
    page = page_of(run)
    assert "values are not finite" in page.text and len(page.all("svg")) < 4 * curves.PANELS
    assert "nan" not in {word for svg in page.all("polyline") for word in re.split("[, ]", str(svg["points"]))}


def test_a_log_that_is_too_large_is_refused(run: Path) -> None:
    with open(run / "metrics.jsonl", "a") as file:
        file.truncate(series.LARGEST_FILE + 1)
    with pytest.raises(GanError, match="larger than the 256 MiB"):
        report(run)
    assert not (run / "report.html").exists()


@pytest.mark.parametrize("name", ["metrics.jsonl", "samples/000005.png", "evaluation.jsonl", "checkpoints"])
def test_links_that_lead_out_are_refused(name: str, run: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text('{"iteration": 1, "d/secret": 1.0}\n')
    shutil.rmtree(run / name) if (run / name).is_dir() else (run / name).unlink()
    (run / name).symlink_to(secret)
    for folder in (run, tmp_path):
        with pytest.raises(GanError, match="is a link to"):
            report(folder, out=str(tmp_path / "page.html"))
    assert not (tmp_path / "page.html").exists()


def test_the_page_replaces_a_link_and_does_not_follow_it(run: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    (run / "report.html").symlink_to(tmp_path / "mine.txt")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != "report.html"}
    page_of(run)
    assert (tmp_path / "mine.txt").read_text() == "mine" and not (run / "report.html").is_symlink()
    assert before == {path: path.read_bytes() for path in before}


@pytest.mark.parametrize("out", ["page.txt", "", "run/checkpoints/page.html", "file/page.html", "folder.html"])
def test_where_the_page_cannot_be(out: str, run: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.html").mkdir()
    assert main(["report", "run", f"out={out}"]) == 2
    assert capsys.readouterr().err.startswith("gan: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.html", "run"]


# -- a sweep


@pytest.fixture
def sweep(trained: Path, tmp_path: Path) -> Path:
    """Two learning rates with three seeds each; of the second, better one, a trial has failed."""
    folder = tmp_path / "sweep"
    for number, (rate, seed) in enumerate((rate, seed) for rate in (0.1, 0.2) for seed in range(3)):
        run = Path(shutil.copytree(trained, folder / f"{number}-lr_{rate}-seed_{seed}"))
        with_facts(changed(run, optimizer__lr=rate, seed=seed), overrides=[f"optimizer.lr={rate}", f"seed={seed}"])
        (run / "evaluation.jsonl").unlink()
        lines = [{"iteration": at, "metric/modes": 10 * rate + seed, "d/adversarial": 1.0 / at} for at in (10, 20)]
        (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (run / "failure.json").write_text('{"status": 2, "error": "no memory for it", "overrides": []}')
    (folder / "sweep.json").write_text(json.dumps({"overrides": ["optimizer.lr=0.1,0.2", "seed=0,1,2"], "options": []}))
    return folder


def test_the_page_of_a_sweep_has_mean_and_spread_over_seeds_best_first(sweep: Path) -> None:
    page = page_of(sweep)
    assert re.search(r"0\.2\s*3 ± 1\s*3, 1 failed", page.text) and re.search(r"0\.1\s*2 ± 1\s*3", page.text)
    assert page.text.index("3 ± 1") < page.text.index("2 ± 1")
    assert "no memory for it" in page.text and "5-lr_0.2-seed_2" in page.text
    assert "gan train -m optimizer.lr=0.1,0.2 seed=0,1,2" in page.text
    images = page.all("img")
    assert len(images) == 6 and len(page.all("button", title="Enlarge")) == 6
    means = [line for line in page.all("polyline") if line["class"] == "c0 mean"]
    thin = [line for line in page.all("polyline") if line["class"] == "c1 thin"]
    assert len(thin) == 3 and means


def test_the_best_run_of_a_setting_is_first(sweep: Path) -> None:
    rows, skipped = sweep_page._rows(sweep)
    columns, scores = sweep_page.score_columns([row.run for row in rows], None)
    for row, found in zip(rows, scores, strict=True):
        row.scores.update(found)
    groups = sweep_page._groups(rows, columns[0])
    assert [[row.run.settings["seed"] for row in group.rows] for group in groups] == [[2, 1, 0], [2, 1, 0]]
    assert [group.settings for group in groups] == [{"lr": 0.2}, {"lr": 0.1}] and not skipped


def test_a_trial_that_cannot_be_read_is_named(sweep: Path) -> None:
    (sweep / "0-lr_0.1-seed_0/config.yaml").write_text("a: [")
    page = page_of(sweep)
    assert "cannot be read" in page.text and "0-lr_0.1-seed_0" in page.text
    for config in sweep.glob("*/config.yaml"):
        config.write_text("a: [")
    (sweep / "5-lr_0.2-seed_2/failure.json").unlink()
    (sweep / "report.html").unlink()
    with pytest.raises(GanError, match="none of the runs"):
        report(sweep)
    assert not (sweep / "report.html").exists()


def test_a_folder_without_runs(tmp_path: Path, capsys) -> None:
    for words in ([], ["out=x.html"], [str(tmp_path)], [str(tmp_path / "none")]):
        assert main(["report", *words]) == 2
    assert "holds no run" in capsys.readouterr().err and not [*tmp_path.iterdir()]


# -- parts


def test_curves_are_thinned_with_their_extremes() -> None:
    points = [(at, 1.0 + at % 2) for at in range(50_000)]
    points[777] = (777, 100.0)
    found = curves._thinned([(curves.LEFT + at / 200, value) for at, value in points])
    assert len(found) <= 4 * (curves.MOST + 1) and max(value for _, value in found) == 100.0


@pytest.mark.parametrize(
    "values", [[1e-7, 1.0, 1e3], [5.0, 5.0], [0.0, 0.0], [1e37, -1e37], [5e-324, 1e37], [1e15, 1e15 + 0.125], [3.0]]
)
def test_axes_of_all_kinds(values: list[float]) -> None:
    axis = curves._axis(values, 200, 0)
    ticks = curves._ticks(axis)
    assert all(0 <= axis(value) <= 200 for value in values) and len(ticks) <= 8
    assert axis(min(values)) >= axis(max(values))
    assert axis.log == (min(values) > 0 and max(values) / min(values) > curves.DECADES)


def test_reading_a_log_keeps_few_points_of_a_long_curve(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(series, "POINTS", 100)
    lines = [json.dumps({"iteration": at, "d/a": float(at), "metric/x": 1.0}) for at in range(1000)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    kinds = series.read(tmp_path)
    points = kinds[series.LOSSES]["d/a"]
    steps = {after[0] - before[0] for before, after in itertools.pairwise(points)}
    assert 40 < len(points) <= 101 and len(steps) == 1 and points[-1][0] > 980
    assert [*kinds[series.SCORES]] == ["x"]


def test_the_average_starts_at_the_first_value() -> None:
    points = [(0, 4.0), (1, 4.0), (2, 1.0)]
    assert [round(value, 3) for _, value in series.smoothed(points, 3)] == [4.0, 4.0, 2.286]
    assert series.mean_curve([[(0, 1.0), (1, 2.0)], [(1, 4.0), (2, 9.0)]]) == [(1, 3.0)]


def test_text_is_escaped_and_shortened() -> None:
    assert markup.text("<a b='\"'>") == "&lt;a b=&#x27;&quot;&#x27;&gt;"
    assert len(markup.text("x" * 10**6)) == markup.LONGEST and markup.text("\x07") == "\\x07"
    assert markup.tag("p", "<", markup.tag("b", "x"), class_="a", hidden=False) == '<p class="a">&lt;<b>x</b></p>'

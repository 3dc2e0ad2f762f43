"""Which trials of a sweep exist already, and which is which."""

import json

import pytest
from helpers import TINY_RING, composed, small_state
from omegaconf import OmegaConf

from gan_cli.experiments import result_file, search, sweep
from gan_cli.experiments.trials import ExistingTrials, settings_hash
from gan_cli.training import checkpoint
from gan_cli.training.run_history import write_failure
from gan_cli.utils.errors import GanError


def test_the_hash_depends_on_what_a_trial_learns_and_not_on_how_it_is_monitored():
    cfg = composed(*TINY_RING)
    same = ["trainer.log_every=7", "trainer.sample_every=9", "trainer.checkpoint_every=3", "trainer.device=cuda",
            "metric=[modes]", "trainer.evaluate_every=5", "extractor=random"]  # fmt: skip
    assert settings_hash(composed(*TINY_RING, *same)) == settings_hash(cfg) and len(settings_hash(cfg)) == 16
    OmegaConf.set_struct(cfg, False)

    def changed(*texts):
        return OmegaConf.merge(cfg, OmegaConf.from_dotlist(list(texts)))

    others = ["seed=1", "optimizer.lr=0.1", "trainer.iterations=9", "loss.critic_steps=7", "trainer.batch_size=16"]
    assert len({settings_hash(cfg), *(settings_hash(changed(other)) for other in others)}) == 6
    one, two = changed("dataset.root=a"), changed("dataset.root=b")
    assert settings_hash(one) == settings_hash(two)
    assert settings_hash(one, ["dataset.root"]) != settings_hash(two, ["dataset.root"])
    read = OmegaConf.create(OmegaConf.to_yaml(cfg, resolve=True))
    folder = composed("model=dcgan", "dataset=image_folder", "dataset.root=a")
    before = OmegaConf.create(OmegaConf.to_yaml(folder, resolve=True))
    del before.dataset["preprocess"], before.dataset["depth"]  # a run from before these keys is the same trial
    assert settings_hash(before) == settings_hash(folder)
    assert settings_hash(OmegaConf.merge(before, {"dataset": {"depth": 16}})) != settings_hash(folder)
    assert settings_hash(read) == settings_hash(cfg)  # as config.yaml has it


def make_trial(folder, cfg, done, failure=None):
    """A run in the folder of a sweep."""
    (folder / "checkpoints").mkdir(parents=True)
    OmegaConf.save(cfg, folder / "config.yaml", resolve=True)
    (folder / "provenance.json").write_text("{}")
    if done:
        checkpoint.save(folder / "checkpoints" / "last.pt", small_state(done))
    if failure:
        (folder / "failure.json").write_text(json.dumps({"error": failure, "status": 3}))


def test_trials_are_recognized_by_their_config_whatever_their_folders_are_called(tmp_path):
    cfg = composed(*TINY_RING, "trainer.iterations=10")
    ask = {seed: OmegaConf.merge(cfg, {"seed": seed}) for seed in range(5)}
    make_trial(tmp_path / "0-seed_0", ask[1], 10)
    make_trial(tmp_path / "7-other", ask[2], 4)
    make_trial(tmp_path / "2-seed_2", ask[3], 4, "diverged")
    (tmp_path / "4-seed_4/checkpoints").mkdir(parents=True)  # killed before it began
    found = ExistingTrials(tmp_path, ["seed"])
    placed = {seed: found.place(seed, f"seed={seed}", [f"seed={seed}"], one, retry=False) for seed, one in ask.items()}
    assert [trial.state for trial in placed.values()] == ["new", "done", "unfinished", "failed", "new"]
    names = [trial.folder.name for trial in placed.values()]
    assert names == ["8-seed_0", "0-seed_0", "7-other", "2-seed_2", "4-seed_4"]  # 0-seed_0 is another trial's
    assert not (tmp_path / "4-seed_4/checkpoints").exists()
    again = ExistingTrials(tmp_path, ["seed"]).place(3, "seed=3", ["seed=3"], ask[3], retry=True)
    assert again.state == "unfinished" and again.folder.name == "2-seed_2"
    longer = OmegaConf.merge(ask[1], {"trainer": {"iterations": 20}})
    assert found.place(1, "seed=1", [], longer, retry=False).state == "new"


def test_a_trial_that_could_not_begin_is_recognized_by_its_overrides(tmp_path):
    write_failure(tmp_path / "1-x", 2, "no such folder", ["seed=1"])
    assert ExistingTrials(tmp_path, []).place(1, "x", ["seed=1"], None, retry=False).state == "failed"
    assert ExistingTrials(tmp_path, []).place(1, "x", ["seed=1"], None, retry=True).state == "new"
    assert not (tmp_path / "1-x/failure.json").exists()


BROKEN = ["", "[1, 2]", "7", "null", "{", "[" * 100_000, '{"overrides": 3}', '{"overrides": [3], "options": []}',
          '{"overrides": "seed=1", "options": []}', '{"overrides": [], "options": 5}', '{"space": {}, "overrides": []}',
          '{"overrides": [], "options": [], "schema_version": "x"}', '{"overrides": [], "options": [], "a": NaN'
          + "9" * 500 + "}"]  # fmt: skip


@pytest.mark.parametrize("text", BROKEN, ids=range(len(BROKEN)))
def test_records_of_another_shape_get_one_line(text, tmp_path):
    """sweep.json, search.json and a result file that somebody has edited, or a full disk has cut short."""
    readers = {
        "sweep.json": lambda file: sweep.resume(file.parent, []),
        "search.json": lambda file: search._recorded(file.parent, {"overrides": [], "space": [], "metric": "fid"}),
        "ring.json": result_file.load,
    }
    for name, read in readers.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(GanError, match=name) as error:
            read(tmp_path / name)
        assert "\n" not in str(error.value) and (tmp_path / name).read_text() == text

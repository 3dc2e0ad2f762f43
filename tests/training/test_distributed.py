"""Two processes train as one does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import checkpoint_values, run_gan

SETTINGS = [
    "train",
    "model=wgan_gp",
    "model.latent_dim=8",
    "model.generator.width=4",
    "model.discriminator.width=4",
    "model.generator.norm=none",
    "trainer.batch_size=8",
    "trainer.iterations=5",
    "trainer.device=cpu",
    "trainer.sample_count=4",
    "trainer.ema_decay=0.5",
]


def torchrun(arguments: list[str], folder: Path, processes: int = 2) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        f"--nproc-per-node={processes}",
        "--standalone",
        "-m",
        "gan_cli",
        *arguments,
    ]
    return subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def test_two_processes_agree_with_one(tmp_path: Path) -> None:
    """Without batch normalization the mathematics is the same: the weights differ by rounding of sums only."""
    done = torchrun([*SETTINGS, "hydra.run.dir=two"], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    code, output = run_gan([*SETTINGS, "hydra.run.dir=one"], tmp_path)
    assert code == 0, output
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_dir()) == ["one", "two"]
    one, two = checkpoint_values(tmp_path / "one"), checkpoint_values(tmp_path / "two")
    weights = [key for key in one if key.startswith(("/system", "/ema"))]
    assert weights and max(float((one[key] - two[key]).abs().max()) for key in weights) < 1e-5
    assert float(two["/position"]) == float(one["/position"]) == 5 * 5 * 8

    again = torchrun(["resume", "two", "trainer.iterations=7"], tmp_path)
    assert again.returncode == 0, again.stdout + again.stderr
    code, output = run_gan(["resume", "one", "trainer.iterations=7"], tmp_path)
    assert code == 0, output
    one, two = checkpoint_values(tmp_path / "one"), checkpoint_values(tmp_path / "two")
    assert max(float((one[key] - two[key]).abs().max()) for key in weights) < 1e-5


def test_batch_must_divide(tmp_path: Path) -> None:
    done = torchrun([*SETTINGS, "trainer.batch_size=7", "hydra.run.dir=odd"], tmp_path)
    assert done.returncode != 0
    assert "trainer.batch_size=7 cannot be divided among 2 processes" in done.stdout + done.stderr
    assert not (tmp_path / "odd").exists()


@pytest.mark.parametrize("rank", [0, 1])
def test_gradients_are_averaged(rank: int, tmp_path: Path) -> None:
    """By hand, buckets of several sizes, a parameter without a gradient among them."""
    script = tmp_path / "average.py"
    script.write_text(
        "import torch\n"
        "from gan_cli.utils import distributed as d\n"
        "d.BUCKET = 40\n"
        "group = d.group(torch.device('cpu'))\n"
        "group.__enter__()\n"
        "ps = [torch.nn.Parameter(torch.zeros(n)) for n in (3, 20, 1, 7)]\n"
        f"for i, p in enumerate(ps):\n"
        f"    if not (i == 2 and d.rank() == {rank}): p.grad = torch.full_like(p, 10. * i + d.rank())\n"
        "d.average_gradients(ps)\n"
        f"want = [.5, 10.5, (20 + {1 - rank}) / 2, 30.5]\n"
        "assert [p.grad.unique().tolist() for p in ps] == [[w] for w in want], [p.grad for p in ps]\n"
        "assert d.largest(d.rank() * 5) == 5 and d.gather(d.rank()) == [0, 1] and d.from_first(d.rank()) == 0\n"
        "group.__exit__(None, None, None)\n"
        "assert not torch.distributed.is_initialized()\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", str(script)],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr

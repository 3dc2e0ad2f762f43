"""Optimizers that do not import the compiler."""

import subprocess
import sys

PROGRAM = """
import sys, torch
from gan_cli.training.fast_import import without_compiler, without_dynamo
layer = torch.nn.Linear(2, 1)
adam = without_compiler(lambda: torch.optim.Adam(layer.parameters(), lr=0.1, fused=True))
before = layer.weight.detach().clone()
for _ in range(2):
    layer(torch.ones(1, 2)).sum().backward()
    adam.step()
    adam.zero_grad()
    adam.load_state_dict(adam.state_dict())
assert torch.allclose(layer.weight, before - 0.2, atol=1e-5), (layer.weight, before)
assert not [name for name in sys.modules if name.startswith("torch._dynamo")]
import torch._dynamo.config
assert torch._dynamo.config is sys.modules["torch._dynamo.config"] and torch._dynamo.reset
with without_dynamo():
    assert sys.modules["torch._dynamo"].reset
assert torch.compile(lambda x: 2 * x, backend="eager")(torch.ones(1)).item() == 2
adam.step()
"""


def test_optimizers_do_not_import_the_compiler_which_works_afterwards() -> None:
    """In a process of its own: made, stepped and saved without torch._dynamo, which then compiles as usual."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], text=True, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_a_run_does_not_import_the_compiler(tmp_path) -> None:
    """From the start of `gan train` to its end, checkpoints included."""
    words = ["train", "dataset=ring", "experiment=ring", "trainer.iterations=2", "trainer.device=cpu"]
    program = (
        "import sys\nfrom gan_cli.cli.main import main\n"
        f"assert main({words!r} + ['hydra.run.dir=run']) == 0\n"
        "assert 'torch' in sys.modules and 'torch._dynamo' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], text=True, capture_output=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr

"""Values for benchmarks/fuzz_settings.py: what trains, what is refused, and what no setting takes."""

from __future__ import annotations

HUGE, MORE = 10**11, 2**31

# -- what numbers mean: key -> those that train, and those that are refused

INTEGERS: dict[str, tuple[list[int], list[int]]] = {
    "batch_size": ([4, 8], [0, -1, HUGE]),
    "blocks": ([1, 2], [-1, HUGE]),
    "channels": ([], [0, -1, HUGE]),
    "checkpoint_every": ([1, 7, HUGE], [0, -1]),
    "code_dim": ([], [0, -1, HUGE]),
    "continuous": ([1, 3], [-1, HUGE]),
    "critic_steps": ([1, 2], [0, -1, HUGE]),
    "d_iter": ([1, 2], [0, -1, HUGE]),
    "downs": ([1, 2], [-1, HUGE, 50]),
    "evaluate_count": ([1, 100], [0, -1]),
    "evaluate_every": ([1, 100, HUGE], [0, -1]),
    "every": ([1, 500, HUGE], [0, -1]),
    "fakes_per_real": ([1, 2], [0, -1, HUGE]),
    "features": ([], [0, -1, HUGE]),
    "first": ([0, 1, 25], [-1]),
    "fixed_iterations": ([0, 1, HUGE], [-1]),
    "global_iterations": ([0, 1, HUGE], [-1]),
    "halvings": ([1, 2], [-1, HUGE]),
    "high": ([1, 2], [0, -1, HUGE]),
    "image_size": ([], [0, -1, HUGE]),
    "iterations": ([1, 2], [0, -1]),
    "keep_checkpoints": ([0, 1, HUGE], [-1]),
    "keep_every": ([0, 1, HUGE], [-1]),
    "kernel": ([], [0, -1, HUGE]),
    "label_nc": ([7], [0, -1, 6, 8, HUGE]),
    "latent_dim": ([2, 5], [0, -1, HUGE]),
    "layers": ([], [-1, HUGE]),
    "length": ([1, 100], [0, -1]),
    "log_every": ([1, 3, HUGE], [0, -1]),
    "low": ([1, 2], [0, -1, HUGE]),
    "matched_from": ([2], [-1, HUGE]),
    "n_layers": ([1, 2], [-1, HUGE]),
    "noise_dim": ([1, 8], [0, -1, HUGE]),
    "num_classes": ([6], [0, -1, 5, 7, HUGE]),
    "num_D": ([1, 2], [0, -1, HUGE]),
    "num_labels": ([60, 6], [0, -1, HUGE]),
    "packing": ([1, 2], [0, -1, HUGE]),
    "pieces": ([2, 3], [0, -1, HUGE]),
    "pool_size": ([0, 1, 50], [-1]),
    "pretrain": ([0, 1], [-1, HUGE]),
    "sample_count": ([1, 4], [0, -1, HUGE]),
    "sample_every": ([1, 3, HUGE], [0, -1]),
    "scales": ([1, 2], [0, -1, HUGE]),
    "seed": ([0, 1, HUGE, 2**63 - 1], [-1]),
    "size": ([600, 1000], [0, -1]),
    "units": ([5], [0, -1, HUGE]),
    "unroll_steps": ([1, 2], [-1, HUGE]),
    "update_interval": ([1, 2, HUGE], [0, -1]),
    "epochs": ([1, 200], [0, -1]),
    "k": ([3, 1], [0, -1]),
    "k_density": ([5, 1], [0, -1]),
    "n_modes": ([1, 5, 100], [0, -1, HUGE]),
    "side": ([1, 3], [0, -1, HUGE]),
    "subsets": ([1, 10], [0, -1]),
    "width": ([], [0, -1, HUGE, MORE]),
}
POSITIVE: tuple[list[float], list[float]] = ([0.001, 1, 2.5], [])  # a negative weight is odd, yet a formula
FLOATS: dict[str, tuple[list[float], list[float]]] = {
    "a": ([0.0, -1, 2.5], []),
    "b": ([0.5, -1, 2.5], []),
    "c": ([0.0, -1, 2.5], []),
    "alpha": ([0.0, 0.5, 0.99], [-1]),
    "ema_decay": ([0, 0.5, 0.999], [-0.1, 1, 1.5]),
    "first": ([0.1, 1.0], []),
    "freedom": ([0, 0.1, 1], [-0.1, 1.5]),
    "gamma": ([0.0, 0.5, 1], []),
    "high": ([0.5, 2], [-5]),
    "low": ([-2, 0.5], [5]),
    "leak": ([0, 0.1, 0.2], []),
    "limit": ([0.01, 1], [-1, 0]),
    "lr": ([1e-5, 1e-3, 0.5], [0, -1]),
    "margin": ([0.5, 10], []),
    "momentum": ([0, 0.5, 0.9], [-1]),
    "noise": ([0.0, 0.1], [-1]),
    "radius": ([0.5, 3], []),
    "std": ([0.05, 1], [-1]),
    "divisor": ([1, 7.5], [0]),
    "begin": ([0, 0.5, 0.9], [-0.1, 1, 1.5]),
    "factor": ([1, 1.5], [0, -1]),
    "floor": ([0, 0.5, 1], [-1, 2]),
    "slope": ([0, 0.5, -1], []),
    "weight_decay": ([0, 1e-4], [-1]),
}
LISTS: dict[str, tuple[list[str], list[str]]] = {
    "betas": (["[0.5,0.9]", "[0,0]"], ["[0.5]", "[]", "[0.5,2]", "[-1,0.9]", "[nan,0.9]", "[a,b]", "[0.1,0.2,0.3]"]),
    "categorical": (["[10]", "[3,2]", "[2]"], ["[0]", "[-1]", f"[{HUGE}]", "[1.5]", "[a]"]),
    "dropout": (["[0.2,0.5]", "[0,0]"], ["[2,0.5]", "[-1,0]", "[a,b]", "[nan,0]"]),
    "kernels": ([], ["[]", "[1]", "[a]", "[null]", "[{}]"]),
    "modules": (["[]", "[math]"], ["[1]", "[..]", "[a-b]", "[my_losses]"]),
    "parts": ([], ["[1]", "[a]", "[null]", "[{}]"]),
    "sigmas": (["[1.0]", "[0.5,2]"], ["[]", "[0]", "[nan]", "[inf]", "[a]", "[1,null]"]),
    "value_range": (["[-1,1]", "[0,1]"], ["[0]", "[]", "[1,1]", "[1,-1]", "[0,nan]", "[a,b]", "[0,1,2]", "[0,inf]"]),
    "weights": ([], ["[]", "[nan]", "[a]"]),
    "means": (["[0,1]", "[-5,5.5]"], ["[0]", "[]", "[nan,1]", "[a,b]"]),
    "stds": (["[1,1]", "[0.1,2]"], ["[0]", "[]", "[nan,1]", "[-1,1]", "[a,b]"]),
    "widths": (["[8]", "[8,8]"], ["[0]", "[-1]", "[1.5]", "[[8]]", f"[{HUGE}]", "[true]", "[null]", "[a]"]),
    "inputs": ([], ["[]", "[0]", "[-1]", "[a]", "[1.5]"]),
}
SELF = "${%s}"
STRANGE = [  # of no kind that a setting takes
    "", "''", "abc", "größe—日本", "'a b'", "'a\\nb'", "'it\\'s'", '"quo\\"ted"', "'#'", "'$HOME'", "'a=b'", "a,b",
    "{", "[", "'", '"', "$", "}", "]", "a b", "a:b", "x;y", "`ls`", "$(ls)", "\\", "{a:1}", "[[1]]", "{a:{b:[1]}}",
    "[{}]", "${nothing}", "${oc.env:HOME}", "${oc.env:NOT_THERE}", "${", "${oc.nothing:1}", "${trainer}", SELF,
    "{_target_: os.system, command: ls}", "{_target_: gan_cli.data.shapes.Shapes}", "{_target_: 5}", "{_target_: ''}",
    "'" + "x" * 5000 + "'", "[" * 200 + "]" * 200, "{a:" * 100 + "1" + "}" * 100, "\u202e\x1b[31m", "0x10",
    "??\x07", "1e", "--1", "1 2", "None", "~", "*", "glob(*)", "range(1,3)", "sort(1,2)", "int(a)", "choice(1,2)",
]  # fmt: skip
NOT_FINITE = ["nan", "inf", "-inf", "NaN", "1e39", "-1e39", "1e400", str(10**400)]
TARGETS = [
    "os.system", "builtins.eval", "gan_cli.data.shapes.Shapes", "gan_cli.metrics.fid.FID", "torch.optim.Adam",
    "torch.nn.Linear", "gan_cli.losses.penalties.R1", "gan_cli.systems.base.System", "gan_cli.data.cache.remove",
    "gan_cli.losses.nothing.Here", "nothing", ".", "..", "a..b", "gan_cli", "gan_cli.data", "''", "null", "5", "[]",
    "{}", "true", "gan_cli.networks.dcgan.Generator ", "'gan_cli.networks.__builtins__'", "torch.nn.functional.relu",
]  # fmt: skip
GROUPS = ("model", "loss", "dataset", "optimizer", "network", "trainer", "trainer/schedule", "experiment", "extractor")
NAMES = ["nope", "[nope]", "[]", "[[[]]]", "{a:1}", "5", "nan", "../model/dcgan", "/etc/passwd", "''", "größe", "a b",
         "${seed}", "${oc.env:HOME}", "x" * 300, "true", "1.5", "dcgan.yaml", "."]  # fmt: skip
OPTIMIZERS = ("adam", "adam_began", "adam_discogan", "adam_drit", "adam_mlp", "adam_mmd", "adam_msgan", "adam_wgan_gp",
              "rmsprop", "rmsprop_dualgan", "sgd")  # fmt: skip
SCHEDULES = ("linear", "epochs", "epochs_torch", "exponential")

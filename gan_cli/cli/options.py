"""The verbs, their options with types and defaults, and the texts of their help."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Option:
    """One `name=value`. type: what reads the value; default None means that it may be left out."""

    type: type
    default: Any
    help: str
    required: bool = False


@dataclass(frozen=True)
class Verb:
    """usage: what follows the verb; help: paragraphs; options: of the verbs that take no Hydra overrides; open: what
    further keys may begin with, which are passed on as `settings`."""

    usage: str
    summary: str
    help: str = ""
    options: Mapping[str, Option] = field(default_factory=dict)
    open: tuple[str, ...] = ()


WEIGHTS = {
    "checkpoint": Option(str, "last", "last, an iteration, or a file"),
    "weights": Option(str, "auto", "ema, raw, or auto: the average where the run kept one"),
    "device": Option(str, "auto", "auto, cpu or cuda"),
    "modules": Option(list, [], "modules of your own whose code the run may use"),
}
TRAIN_HELP = """\
Overrides choose from the groups that `gan list` shows and set single values:
  gan train model=wgan_gp dataset=mnist
  gan train model=dcgan loss=least_squares trainer.iterations=5000 seed=1
  gan train experiment=NAME                  a paper's settings
  gan train -m model=dcgan,wgan_gp seed=0,1  a sweep; sweep.slots=4 runs four cells side by side
  gan train -m sweep=NAME sweep.draw=48      48 cells of a grid that `gan list sweep` shows, at random

The most used values: trainer.iterations trainer.batch_size trainer.device trainer.precision
  trainer.sample_every trainer.checkpoint_every seed dataset.root optimizer.lr hydra.run.dir

  -m                  sweep over values with commas, range(a,b), glob(*)
  --cfg job           print the composed configuration and stop
  --config-dir DIR    look for configs of your own in DIR as well
  --hydra-help        the other options of Hydra, which composes the configuration"""
VERBS = {
    "train": Verb("[group=name] [key=value] ... [-m]", "train a GAN in a new run directory", TRAIN_HELP),
    "resume": Verb(
        "RUN_DIR [key=value] ...",
        "continue a run, or a sweep, where it stopped, to the bit",
        "Overrides change the run's own configuration:\n"
        "  gan resume outputs/DAY/RUN trainer.iterations=20000   trains longer\n"
        "  gan resume outputs/sweeps/SWEEP                       the cells of a sweep that are not done",
    ),
    "sample": Verb(
        "RUN_DIR [key=value] ...",
        "draw pictures from a run",
        options={
            "n": Option(int, 64, "how many"),
            "seed": Option(int, 0, "of the noise"),
            "label": Option(int, None, "the class, where the game knows classes"),
            "out": Option(str, None, "folder to write to; a folder in RUN_DIR if left out"),
            **WEIGHTS,
        },
    ),
    "translate": Verb(
        "RUN_DIR input=DIR output=DIR [key=value] ...",
        "translate pictures",
        "Outputs keep names and sizes. What a network cannot take is padded by reflection and cropped back or, where\n"
        "the network has one size, resized and back; the last line says so. Noise i of one seed is the same for all\n"
        "pictures. Transparency becomes white; 16 bits, colours and greyscale become what the network takes.",
        {
            "input": Option(str, None, "folder of pictures, or one picture", required=True),
            "output": Option(str, None, "folder to write to, under the same names", required=True),
            "direction": Option(str, None, "such as x2y or y2x; the run's first if left out"),
            "n": Option(int, None, "outputs per picture of a game that draws noise: NAME_0.png, ...; 5 if left out"),
            "seed": Option(int, 0, "of the noise"),
            "style": Option(str, None, "picture, or folder of them, to take the style from, where the game can"),
            "instances": Option(str, None, "of label maps: the folder of their instance maps, under the same names"),
            "sheet": Option(bool, False, "true: sheet.png with inputs beside outputs as well"),
            "size": Option(int, None, "pixels that the shorter side gets on the way through the network"),
            "tile": Option(int, None, "larger pictures go in tiles of so many pixels: needs less memory"),
            "overlap": Option(int, None, "pixels by which tiles overlap; a quarter of the tile if left out"),
            **WEIGHTS,
        },
    ),
    "export": Verb(
        "RUN_DIR [format=onnx|torch|safetensors] [key=value] ...",
        "write a network of a run for other programs",
        "Beside the network lies preprocessing.json: what goes in and what comes out. The file is read back and must\n"
        "give what the run gives.",
        {
            "format": Option(str, "onnx", "onnx, torch (a torch.export program) or safetensors (weights alone)"),
            "network": Option(str, None, "such as generator, G or F; the one that samples or translates if left out"),
            "direction": Option(str, None, "of a translation, such as x2y"),
            "seed": Option(int, 0, "of the inputs of the comparison"),
            "out": Option(str, None, "folder to write to; RUN_DIR/export/NETWORK if left out"),
            **{key: option for key, option in WEIGHTS.items() if key != "device"},
        },
    ),
    "import": Verb(
        "FILE.pth [key=value] ...",
        "make a run of weights of the original CycleGAN and pix2pix code",
        "The .pth files of pytorch-CycleGAN-and-pix2pix: gan import latest_net_G.pth model=pix2pix, or\n"
        "gan import G=latest_net_G_A.pth F=latest_net_G_B.pth; one of the two is enough for one direction.",
        {
            "model": Option(str, "cyclegan", "cyclegan or pix2pix"),
            "G": Option(str, None, "weights of x -> y (FILE.pth says the same)"),
            "F": Option(str, None, "cyclegan: weights of y -> x"),
            "size": Option(int, 256, "pixels of a side of the pictures that the network was trained on"),
            "out": Option(str, None, "the new run directory; outputs/imported/NAME if left out"),
        },
    ),
    "edit": Verb(
        "RUN_DIR [key=value] ...",
        "paint or load a picture in the browser and see it translated",
        "A page on this machine alone. Ctrl+C ends it.",
        {
            "port": Option(int, 8000, "of http://127.0.0.1:PORT"),
            "direction": Option(str, None, "such as x2y or y2x; the run's first if left out"),
            **WEIGHTS,
        },
    ),
    "evaluate": Verb(
        "RUN_DIR [metric=NAME,NAME] [key=value] ...\n       gan evaluate real=SOURCE fake=SOURCE [key=value] ...",
        "score a run, or one set of images against another",
        "`gan list metric` and `gan list extractor` show the choices. A SOURCE is a folder of images, DATASET:train,\n"
        "DATASET:test or (fake only) noise. Settings of the parts: metric.NAME.FIELD=VALUE, extractor.FIELD=VALUE;\n"
        "of a data set that is a source: dataset.FIELD=VALUE.",
        {
            "metric": Option(list, None, "names, separated by commas; what the run's experiment asks for if left out"),
            "n": Option(int, None, "samples to score; 10,000 if nothing says otherwise"),
            "seed": Option(int, 0, "of the noise"),
            "extractor": Option(str, None, "the network that looks at images; auto if nothing says otherwise"),
            "direction": Option(str, None, "of a translation, such as x2y"),
            "real": Option(str, None, "without a run: the real images"),
            "fake": Option(str, None, "without a run: the images to score"),
            "image_size": Option(int, None, "without a run: crop and resize folders to it"),
            "out": Option(str, None, "without a run: file for the records [outputs/evaluation.jsonl]"),
            **WEIGHTS,
        },
        ("metric.", "extractor.", "dataset."),
    ),
    "compare": Verb(
        "RUN_DIR|FOLDER ... [key=value] ...",
        "table, curves and samples of several runs side by side",
        "A FOLDER stands for all runs in it, such as a sweep. Writes compare.csv and compare.png.",
        {
            "metric": Option(list, None, "show these only"),
            "sort": Option(str, None, "the value to sort by; the first metric's if left out"),
            "where": Option(list, None, "these runs only: lr=0.001, layers<=4 (each setting whose name ends so)"),
            "histogram": Option(str, None, "a score, such as I_prime: its spread over the runs of each FOLDER"),
            "width": Option(float, None, "of the histogram's bins; a twentieth of the range if left out"),
            "out": Option(str, None, "folder to write to; the FOLDER, or the current one, if left out"),
        },
    ),
    "reproduce": Verb(
        "EXPERIMENT [seeds=0,1,2] [key=value] ...",
        "train an experiment with several seeds and put its numbers beside the paper's",
        "Other overrides are passed on to `gan train`. Runs lie in outputs/reproduce/EXPERIMENT; finished ones are\n"
        "not repeated, and interrupted ones go on.",
        {
            "seeds": Option(list, ["0", "1", "2"], "separated by commas"),
            "variant": Option(list, None, "of an experiment with variants: these only, separated by commas"),
            "out": Option(str, None, "folder for the result file; docs/results where it exists"),
        },
    ),
    "search": Verb(
        "metric=NAME space.KEY=log(A,B) ... [key=value] ...",
        "find settings that make a score good, by Optuna; bad trials are ended early",
        "  gan search experiment=ring metric=modes 'space.optimizer.lr=log(1e-5,1e-2)' trials=20\n"
        "A space is log(a,b), uniform(a,b), int(a,b) or [one,two,...]. Other overrides are passed on to `gan train`;\n"
        "the score is taken every trainer.evaluate_every iterations. The same command goes on with a stopped search.",
        {
            "metric": Option(str, None, "of `gan list metric`; its main value is made good", required=True),
            "trials": Option(int, 20, "how many, those of an earlier start included"),
            "slots": Option(int, None, "trials side by side; as many as there are GPUs, else one, if left out"),
            "prune": Option(bool, True, "end a trial that is worse than the median of the others so far"),
            "out": Option(str, None, "folder; outputs/search/SETTINGS if left out"),
        },
        ("space.",),
    ),
    "bench": Verb(
        "step|data|start|flops|scaling [key=value] ...",
        "measure speed: a step beside another code's, the data, the start, several processes",
        "  gan bench step model=cyclegan dataset.image_size=128 peer=../pytorch-CycleGAN-and-pix2pix\n"
        "Other overrides are those of `gan train`. Gradients are checked against float64 first, and a side that\n"
        "breaks the rule is not printed. Peers: docs/SPEED.md.",
        {
            "peer": Option(str, None, "step: a checkout of another code, or bare: a hand-written loop"),
            "rounds": Option(int, 5, "measurements of each side, in turns"),
            "sides": Option(list, [], "step: these only, such as ours,no_kernels,plain,peer,ours+malloc"),
            "draws": Option(int, 1, "step: initial weights with which the gradients are checked"),
            "threads": Option(int, None, "step: of each side; as many as there are cores if left out"),
            "against": Option(str, None, "start: another command; it is timed too, until it prints the text until="),
            "until": Option(str, None, "start: what tells that the first iteration of against= is over"),
            "root": Option(str, None, "data: a folder of images; made for the purpose if left out"),
            "out": Option(str, "outputs/bench", "folder for the table and the raw times"),
        },
    ),
    "demo": Verb(
        "[NAME] [key=value] ...",
        "draw a piece of the theory: seconds on a CPU, a table and a picture",
        "Without NAME: the list of them.",
        {"out": Option(str, None, "folder to write to; outputs/demo/NAME if left out")},
    ),
    "list": Verb("[GROUP]", "show the models, losses, data sets, ... with one line each"),
    "completion": Verb(
        "bash|zsh|fish",
        "print a script that completes gan commands in your shell",
        'bash, zsh: eval "$(gan completion bash)"    fish: gan completion fish | source',
    ),
}

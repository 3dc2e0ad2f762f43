"""The verbs: their usage, the function that does their work, and the help of their options."""

from gan_cli.cli.options import Verb

WEIGHTS = {
    "checkpoint": "last, best, an iteration, or a file",
    "weights": "ema, raw, or auto: the moving average if the run keeps one",
    "device": "auto, cpu, cuda or cuda:N",
    "modules": "your own modules whose classes the run may use, separated by commas",
}
DATA = {"dataset.root": "folder of the run's data, if they have moved"}
TRAIN_HELP = """\
Overrides choose from the groups that `gan list` shows and set single values:
  gan train model=wgan_gp dataset=mnist
  gan train model=dcgan loss=least_squares trainer.iterations=5000 seed=1
  gan train experiment=NAME                  the settings of a paper
  gan train -m model=dcgan,wgan_gp seed=0,1  a sweep; sweep.workers=4 runs four trials in parallel
  gan train -m sweep=NAME sweep.sample=48    48 random trials of a grid that `gan list sweep` shows

The most common keys: trainer.iterations trainer.batch_size trainer.device trainer.precision
  trainer.sample_every trainer.checkpoint_every seed dataset.root optimizer.lr hydra.run.dir

  -m                  sweep over values with commas, range(a,b), glob(*)
  --cfg job           print the composed configuration and exit
  --config-dir DIR    also look for your own configs in DIR
  --hydra-help        show the other options of Hydra, which composes the configuration"""
VERBS = {
    "train": Verb("[group=name] [key=value] ... [-m]", "train a GAN in a new run directory", TRAIN_HELP),
    "resume": Verb(
        "RUN_DIR [key=value] ...",
        "resume an interrupted run or sweep, bit-identical to an uninterrupted one",
        "Overrides change the run's own configuration:\n"
        "  gan resume outputs/DAY/RUN trainer.iterations=20000   train for longer\n"
        "  gan resume outputs/sweeps/SWEEP                       run the unfinished trials of a sweep",
    ),
    "sample": Verb(
        "RUN_DIR [key=value] ...",
        "generate images with a trained model",
        call="inference.sampling.sample",
        helps={
            "n": "number of images, 64 if omitted; of a film, noises that it interpolates between, 8 if omitted",
            "seed": "random seed of the latent noise",
            "label": "name or number of the class to generate, for a conditional model; all classes if omitted",
            "truncation": "threshold of Gaussian noise, such as 0.7, beyond which components are sampled again",
            "format": "png; npz: one file, NHWC in arr_0, labels in arr_1; gif or mp4: a film",
            "of": "film: interpolation, the default, or training, the sample grids of the run",
            "frames": "film: frames from each noise to the next, 24 if omitted",
            "fps": "film: frames per second, 12 if omitted",
            "out": "output folder, the grid goes beside it; folders in RUN_DIR if omitted",
            "depth": "8, 16 or 32 bits (TIFF files of floating-point numbers); those of the training data if omitted",
            **WEIGHTS,
            **DATA,
        },
    ),
    "translate": Verb(
        "RUN_DIR input=DIR output=DIR [key=value] ...",
        "translate images with a trained image-to-image model",
        "Outputs keep the names and sizes of the inputs. An image whose size the network does not accept is padded by\n"
        "reflection and cropped afterwards; if the network accepts one size only, it is resized and resized back. The\n"
        "last line reports this. Images are converted to the channels and bits of the training data, and written in\n"
        "those of the other side.\n"
        "Images that fail are named and do not stop the others; the exit status is then 2.\n"
        "Random output number i uses the same noise for every image.",
        "inference.translation.translate",
        {
            "input": "image, or folder of images",
            "output": "output folder; files keep their names",
            "direction": "AtoB or BtoA; the first direction of the model if omitted",
            "n": "outputs per image for a model with noise: NAME_0.png, ...; 5 if omitted",
            "seed": "random seed of the noise",
            "style": "image, or folder of images, whose style the outputs take, if the model supports it",
            "instances": "for label maps: folder of the instance maps, with the same file names",
            "window": "[LOW,HIGH], black and white of images of more than 8 bits; those of the training if omitted",
            "depth": "8, 16 or 32 bits of the outputs (32: TIFF); those of the training data if omitted",
            "contact_sheet": "true: also write pages of inputs beside outputs, to the folder OUTPUT_sheets",
            "resize": "length in pixels of the shorter side inside the network",
            "tile": "split larger images into tiles of this many pixels, which needs less memory",
            "overlap": "overlap of adjacent tiles in pixels; a quarter of the tile if omitted",
            **WEIGHTS,
        },
    ),
    "export": Verb(
        "RUN_DIR [format=onnx|torch|safetensors] [key=value] ...",
        "export a network of a run for other programs",
        "NETWORK.onnx.json beside NETWORK.onnx, and so on, describes inputs and outputs. The exported file is loaded\n"
        "again and must give the same outputs as the run, at all image sizes that it accepts.",
        "inference.export.export",
        {
            "format": "onnx, torch (a torch.export program) or safetensors (weights only)",
            "network": "such as generator, G or F; the one that samples or translates if omitted",
            "direction": "AtoB or BtoA, for a translation model",
            "seed": "random seed of the inputs on which the outputs are compared",
            "out": "output folder; RUN_DIR/export/NETWORK if omitted",
            **{key: text for key, text in WEIGHTS.items() if key != "device"},
        },
    ),
    "import": Verb(
        "FILE.pth [key=value] ...",
        "import original CycleGAN or pix2pix checkpoints as a run",
        "Reads the .pth files of pytorch-CycleGAN-and-pix2pix: gan import latest_net_G.pth model=pix2pix, or\n"
        "gan import G=latest_net_G_A.pth F=latest_net_G_B.pth; one of the two is enough for one direction.",
        "inference.import_weights.import_",
        {
            "model": "cyclegan or pix2pix",
            "G": "weights of the generator A -> B, the same as FILE.pth",
            "F": "cyclegan: weights of the generator B -> A",
            "size": "side in pixels of the images on which the network was trained",
            "out": "the new run directory; outputs/imported/NAME if omitted",
        },
    ),
    "push": Verb(
        "RUN_DIR USER/NAME [key=value] ...",
        "publish a run on the Hugging Face hub: weights, settings, scores, a model card",
        "Prints what it uploads. Folders, machine and user names are left out. `hf auth login` gives a token.",
        "inference.hub_push.push",
        {
            "checkpoint": "last, best, an iteration, or a file",
            "weights": "ema, raw, or auto: those of the last step and the moving average",
            "private": "false: everybody can see the repository, if it is a new one",
            "license": "the license's name on the hub, such as mit or cc-by-4.0; unknown if omitted",
            "samples": "false: without sample images, which may show held-out data",
            "dry_run": "true: write the files to out= and upload nothing",
            "out": "folder of the files; for a dry run, RUN_DIR/hub if omitted",
            "modules": WEIGHTS["modules"],
        },
    ),
    "pull": Verb(
        "USER/NAME [key=value] ...",
        "download a published run into a new run directory",
        "The run can be sampled, evaluated and exported, and be trainer.init_from=; it cannot be resumed.",
        "inference.hub_pull.pull",
        {
            "out": "the new run directory; outputs/pulled/NAME if omitted",
            "revision": "a branch, a tag or a commit; the newest if omitted",
            "modules": WEIGHTS["modules"],
        },
    ),
    "web": Verb(
        "RUN_DIR [key=value] ...",
        "serve a local web page on which you draw or load an image and see it translated",
        "Only this machine can open the page. Ctrl+C stops the server.",
        "inference.web_demo.serve",
        {
            "port": "port of http://127.0.0.1:PORT",
            "direction": "AtoB or BtoA; the first direction of the model if omitted",
            **WEIGHTS,
            **DATA,
        },
    ),
    "evaluate": Verb(
        "RUN_DIR [metric=NAME,NAME] [key=value] ...\n       gan evaluate real=SOURCE fake=SOURCE [key=value] ...\n"
        "       gan evaluate real=SOURCE stats=FILE.npz [key=value] ...",
        "compute metrics of a run, or of one set of images against another",
        "`gan list metric` and `gan list extractor` show the choices. A SOURCE is a folder of images, DATASET:train,\n"
        "DATASET:test, a file of statistics (.npz) or, for fake= only, noise. Settings of metrics and extractors:\n"
        "metric.NAME.FIELD=VALUE, extractor.FIELD=VALUE; of a data set used as a source: dataset.FIELD=VALUE.\n"
        "dataset.root=FOLDER is also where the data of a run are, if they have moved.",
        "evaluation.evaluate.evaluate",
        {
            "metric": "names, separated by commas; if omitted, those of the run's experiment",
            "n": "number of samples; if omitted, that of the run's experiment, or 10,000",
            "seed": "random seed of the latent noise",
            "extractor": "the network that computes image features; if omitted, that of the run's experiment, or auto",
            "direction": "AtoB or BtoA, for a translation model",
            "real": "without a run: the real images; with a run: a file of statistics in place of its real images",
            "fake": "without a run: the images to score",
            "stats": "file into which mean and covariance of the features of real= are written, in place of scores",
            "image_size": "without a run: crop and resize the images of folders to this size",
            "window": "without a run: [LOW,HIGH], black and white of folders' images of more than 8 bits",
            "out": "without a run: file to which the records are appended",
            **WEIGHTS,
        },
        "evaluation.evaluate.evaluate_sources",
        ("metric.", "extractor.", "dataset."),
    ),
    "compare": Verb(
        "RUN_DIR|FOLDER ... [key=value] ...",
        "compare runs: one table, learning curves and samples side by side",
        "A FOLDER stands for all runs in it, such as those of a sweep. Writes compare.csv and compare.png.\n"
        "With sheet=true or input=, also compare_sheet.png: what the runs make of the same inputs or the same noise.",
        "evaluation.compare.compare",
        {
            "metric": "show only these",
            "sort": "the value by which rows are sorted; the main value of the first metric if omitted",
            "filter": "show only runs with lr=0.001, layers<=4, ... (every setting whose key ends with that name)",
            "histogram": "a value, such as I_prime, whose distribution over the runs of each FOLDER is plotted",
            "bin_width": "width of the histogram's bins; a twentieth of the range if omitted",
            "out": "output folder; if omitted, FOLDER, or the current folder for several",
            "sheet": "true: write the sheet; inputs are held-out images unless input= names others",
            "input": "sheet: image, or folder of images, to translate",
            "n": "sheet: number of inputs, or of samples of each run; 6, 10 or 1000 points if omitted",
            "samples": "sheet: outputs per input for models with noise, which is the same for all runs",
            "direction": "sheet: AtoB or BtoA; the first direction that the runs share if omitted",
            "seed": "sheet: random seed of the noise",
            **WEIGHTS,
            **DATA,
        },
    ),
    "report": Verb(
        "RUN_DIR|FOLDER [out=FILE.html]",
        "write a run, or a sweep or other folder of runs, as one HTML page that can be sent to others",
        "The page holds samples, curves, scores, settings and the command that repeats the run. It needs no network\n"
        "and no other file.",
        "tools.html_report.report",
        {"out": "the file to write; report.html in RUN_DIR or FOLDER if omitted"},
    ),
    "reproduce": Verb(
        "EXPERIMENT [seeds=0,1,2] [key=value] ...",
        "train an experiment with several seeds and compare its results with the paper's",
        "Other overrides are passed to `gan train`. Runs are in outputs/reproduce/EXPERIMENT; finished ones are not\n"
        "repeated, and interrupted ones are resumed.",
        "experiments.reproduce.reproduce",
        {
            "seeds": "random seeds, separated by commas",
            "variant": "only these variants of the experiment, separated by commas",
            "out": "folder of the result file; if omitted, docs/results if it exists, or the folder of the runs",
        },
    ),
    "search": Verb(
        "metric=NAME space.KEY=log(A,B) ... [key=value] ...",
        "search for settings that optimize a metric with Optuna; bad trials are stopped early",
        "  gan search experiment=ring metric=modes 'space.optimizer.lr=log(1e-5,1e-2)' trials=20\n"
        "A space is log(a,b), uniform(a,b), int(a,b) or [one,two,...]. Other overrides are passed to `gan train`; the\n"
        "metric is computed every trainer.evaluate_every iterations. The same command continues a stopped search.",
        "experiments.search.search",
        {
            "metric": "one of `gan list metric`; the metric's main value is optimized",
            "trials": "total number of trials, including those of an earlier start",
            "workers": "trials that run in parallel; one per GPU, or one without GPUs, if omitted",
            "prune": "stop a trial whose value is worse than the median of the others at the same iteration",
            "out": "output folder; outputs/search/SETTINGS if omitted",
        },
        open=("space.",),
    ),
    "bench": Verb(
        "step|data|start|flops|scaling [key=value] ...",
        "measure speed: training steps, data loading, start-up, several processes",
        "  gan bench step model=cyclegan dataset.image_size=128 baseline=../pytorch-CycleGAN-and-pix2pix\n"
        "Other overrides are those of `gan train`. Gradients are first compared with float64; variants with too large\n"
        "an error are not reported. docs/SPEED.md describes the baselines.",
        "tools.bench.bench",
        {
            "baseline": "step: a checkout of another implementation, or bare: a hand-written training loop",
            "repeats": "number of measurements of each variant, alternating",
            "variants": "step: only these, such as default,no_fast_paths,plain,baseline,default+malloc",
            "gradient_checks": "step: number of random initial weights with which the gradients are checked",
            "threads": "step: threads per variant; one per core if omitted",
            "versus": "start: another command, which is timed until it prints the text of ready_text=",
            "ready_text": "start: the text that shows that the first iteration of versus= is done",
            "root": "data: a folder of images; generated ones if omitted",
            "out": "folder of the table and the raw times",
        },
    ),
    "demo": Verb(
        "[NAME] [key=value] ...",
        "plot a result of GAN theory: a table and a figure, in seconds or minutes on a CPU",
        "Without NAME, the available demos are listed.",
        "tools.demos.show",
        {"out": "output folder; outputs/demo/NAME if omitted"},
    ),
    "doctor": Verb(
        "[RUN_DIR] [group=name] [key=value] ...",
        "show what this machine has, and whether a configuration or a run can be trained on it",
        "  gan doctor                                     versions, devices, memory, folders, missing extras\n"
        "  gan doctor model=cyclegan dataset=horse2zebra  data, memory and time of `gan train` with these overrides\n"
        "  gan doctor RUN_DIR                             what `gan resume RUN_DIR` needs\n"
        "Nothing is written or downloaded. The exit status is 2 if the configuration cannot be trained here.",
        "tools.doctor.doctor",
    ),
    "data": Verb(
        "check|prepare DIR [key=value] ...",
        "check a folder or zip of images before training, or resize it once",
        "  gan data check photos                                 layout, sizes, broken and doubled images\n"
        "  gan data prepare photos out=photos256 image_size=256  a folder of the same layout, which loads faster\n"
        "check names the data set, the models and the command that train on DIR, and writes a sheet of what a model\n"
        "sees of it. prepare skips broken images, which training refuses.",
        "tools.data.prepare.prepare",
        {
            "image_size": "pixels per side, or [HEIGHT,WIDTH], of training; that of the data set if omitted",
            "out": "check: the sheet, a PNG file, NAME_check.png if omitted; prepare: the folder, new or empty",
            "format": "prepare: png, jpg, or tar: archives for dataset=webdataset, of single images",
            "window": "prepare: [LOW,HIGH], black and white of images of more than 8 bits",
            "pairs": "prepare: true leaves out the partners of broken images where trainA and trainB have equal names",
        },
    ),
    "list": Verb("[GROUP]", "list the models, losses, data sets, ... with one line each"),
    "completion": Verb(
        "bash|zsh|fish",
        "print a script that completes gan commands in your shell",
        'bash, zsh: eval "$(gan completion bash)"    fish: gan completion fish | source',
    ),
}

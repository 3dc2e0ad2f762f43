#!/bin/sh
# Benchmarks on a GPU, in under ten minutes: sh benchmarks/gpu.sh [BASELINES]
# BASELINES is a folder with checkouts of pytorch-CycleGAN-and-pix2pix and of pytorch/examples (optional).
# Without a GPU, every line is run once on tiny networks.
set -u
baselines=${1:-}
gan="${PYTHON:-python} -m gan_cli"
if ${PYTHON:-python} -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
  small_c="" small_p="" small_d="" repeats=7
else
  tiny="trainer.device=cpu dataset.image_size=32"
  small_c="$tiny model.G.width=4 model.F.width=4 model.D_X.width=4 model.D_Y.width=4"
  small_p="$tiny model.generator.width=4 model.discriminator.width=4 model.discriminator.n_layers=1"
  small_d="$tiny model.generator.width=4 model.discriminator.width=4 trainer.batch_size=4"
  repeats=1
fi
cyclegan="model=cyclegan model.lambda_identity=0.5 model.G.blocks=9 model.F.blocks=9 dataset.image_size=256 $small_c"
pix2pix="model=pix2pix dataset.image_size=256 $small_p"
dcgan="model=dcgan dataset.image_size=64 $small_d"
wgan_gp="model=wgan_gp network=mlp dataset.image_size=28 dataset.channels=1 ${small_d:+trainer.device=cpu}"
translation=${baselines:+baseline=$baselines/pytorch-CycleGAN-and-pix2pix} examples=${baselines:+baseline=$baselines/examples}

bench() { echo "+ gan bench $*"; $gan bench "$@"; }
command -v nvidia-smi > /dev/null && nvidia-smi dmon -s u -d 5 > utilisation.txt & # GPU utilization in percent, every 5 s
watch=$!
bench step $cyclegan $translation variants=default,plain,baseline repeats=$repeats
bench step $pix2pix $translation variants=default,plain,baseline repeats=$repeats
bench step $dcgan $examples variants=default,plain,baseline repeats=$repeats
for words in "$cyclegan" "$pix2pix" "$dcgan" "$wgan_gp"; do
  bench step $words variants=default repeats=$repeats
  bench step $words variants=default repeats=$repeats trainer.precision=bfloat16 # a separate call: another precision
  bench flops $words repeats=$repeats                                                   # share of the lower bound
done
kill $watch 2> /dev/null

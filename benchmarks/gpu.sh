#!/bin/sh
# What a GPU has to show, in one call of under ten minutes: sh benchmarks/gpu.sh [PEERS]
# PEERS holds checkouts of pytorch-CycleGAN-and-pix2pix and of pytorch/examples (optional).
# Without a GPU it rehearses every line on tiny networks.
set -u
peers=${1:-}
gan="${PYTHON:-python} -m gan_cli"
if ${PYTHON:-python} -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
  small_c="" small_p="" small_d="" rounds=7
else
  tiny="trainer.device=cpu dataset.image_size=32"
  small_c="$tiny model.G.width=4 model.F.width=4 model.D_X.width=4 model.D_Y.width=4"
  small_p="$tiny model.generator.width=4 model.discriminator.width=4 model.discriminator.n_layers=1"
  small_d="$tiny model.generator.width=4 model.discriminator.width=4 trainer.batch_size=4"
  rounds=1
fi
cyclegan="model=cyclegan model.lambda_identity=0.5 model.G.blocks=9 model.F.blocks=9 dataset.image_size=256 $small_c"
pix2pix="model=pix2pix dataset.image_size=256 $small_p"
dcgan="model=dcgan dataset.image_size=64 $small_d"
wgan_gp="model=wgan_gp network=mlp dataset.image_size=28 dataset.channels=1 ${small_d:+trainer.device=cpu}"
translation=${peers:+baseline=$peers/pytorch-CycleGAN-and-pix2pix} examples=${peers:+baseline=$peers/examples}

bench() { echo "+ gan bench $*"; $gan bench "$@"; }
command -v nvidia-smi > /dev/null && nvidia-smi dmon -s u -d 5 > utilisation.txt & # percent busy, every five seconds
watch=$!
bench step $cyclegan $translation variants=ours,plain,peer repeats=$rounds
bench step $pix2pix $translation variants=ours,plain,peer repeats=$rounds
bench step $dcgan $examples variants=ours,plain,peer repeats=$rounds
for words in "$cyclegan" "$pix2pix" "$dcgan" "$wgan_gp"; do
  bench step $words variants=ours repeats=$rounds
  bench step $words variants=ours repeats=$rounds trainer.precision=bfloat16 # apart: another precision
  bench flops $words repeats=$rounds                                      # share of the floor
done
kill $watch 2> /dev/null

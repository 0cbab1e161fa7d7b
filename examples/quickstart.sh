#!/bin/sh
# The main job on the embedded digits: train on true and on random labels, measure, search the
# worst perturbation, plot.
#
#   sh examples/quickstart.sh [FOLDER]
#
# Writes checkpoints, measure files and quickstart.png into FOLDER (quickstart/ if not named). Run
# again, it goes on where it was interrupted and does nothing twice.
set -eu
folder=$(mkdir -p "${1:-quickstart}" && cd "${1:-quickstart}" && pwd)
cd "$(dirname "$0")/.."
. examples/environment.sh

# No pipe between the commands: sh would go on after a network that did not fit.
for labels in true random; do
    for subset in 300 700 1400; do
        gentool train --model mlp --data digits --labels "$labels" --subset "$subset" --lr 0.03 \
            --must-fit --resume --skip-existing -o "$folder/$labels-$subset.safetensors"
    done
done
gentool measure --skip-existing "$folder"/true-*.safetensors "$folder"/random-*.safetensors
gentool sharpness --skip-existing "$folder"/true-*.safetensors "$folder"/random-*.safetensors
gentool plot "$folder"/*.measures.json "$folder"/*.sharpness.json --by recipe.labels \
    --x recipe.subset --y l2 --y spectral --y sharpness --force -o "$folder/quickstart.png"

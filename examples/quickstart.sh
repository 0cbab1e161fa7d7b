#!/bin/sh
# The main job on the embedded digits: train on true and on random labels, measure, search
# the sharpness, plot.
#
#   sh examples/quickstart.sh [FOLDER]
#
# Writes checkpoints, measure files and quickstart.png into FOLDER (quickstart/ if not named). Run again, it goes on
# where it was interrupted and does nothing twice.
set -eu
folder=$(mkdir -p "${1:-quickstart}" && cd "${1:-quickstart}" && pwd)
cd "$(dirname "$0")/.."
. examples/environment.sh

networks=$(
    for labels in true random; do
        for subset in 300 700 1400; do
            gentool train --model mlp --data digits --labels "$labels" --subset "$subset" --must-fit \
                --resume --skip-existing -o "$folder/$labels-$subset.safetensors"
        done
    done
)
{
    echo "$networks" | xargs gentool measure --skip-existing
    echo "$networks" | xargs gentool sharpness --skip-existing
} | xargs gentool plot --x recipe.subset --y l2 --y spectral --y sharpness --by recipe.labels \
    --force -o "$folder/quickstart.png"

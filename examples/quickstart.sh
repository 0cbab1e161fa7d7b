#!/bin/sh
# gentool's main job in a minute, on scikit-learn's digits: train on true and on random labels,
# measure, search for the worst perturbation, plot.
#
#   sh examples/quickstart.sh [FOLDER]
#
# Writes checkpoints, measure files and quickstart.png into FOLDER (default: quickstart). Files that
# exist are kept: after an interruption, run the script again to go on.
set -eu
folder=$(mkdir -p "${1:-quickstart}" && cd "${1:-quickstart}" && pwd)
examples=$(cd "$(dirname "$0")" && pwd)
cd "$examples/.."
. "$examples/environment.sh"

# No pipe between the commands: in a pipe, sh would not notice that a training failed.
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

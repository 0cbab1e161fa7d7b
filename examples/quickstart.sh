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

say() {
    echo "$*" >&2
}

say "Training six MLPs on digits: 300, 700 and 1,400 images, with true and with random labels."
gentool train --model mlp --data digits --labels true,random --subset 300,700,1400 --lr 0.03 \
    --must-fit --quiet -o "$folder"
say "Measuring their norms."
gentool measure --skip-existing --quiet "$folder"
say "Searching for the worst perturbation of each: how sharp is its minimum?"
gentool sharpness --skip-existing --quiet "$folder"
say "Larger norms and sharper minima with random labels, the more so the more images:"
gentool table --columns recipe.labels,recipe.subset,outcome.test_error,l2,spectral,sharpness "$folder" >&2
gentool plot --x recipe.subset --y l2 --y spectral --y sharpness --by recipe.labels --quiet \
    --force -o "$folder/quickstart.png" "$folder"

#!/bin/sh
# Figure 4 of the paper: errors, measures and expected sharpness of MLPs of ever more hidden units
# on MNIST. The narrowest cannot fit, so that a network that does not is no failure here. The initial
# weights are PyTorch's: with He's, which are larger, the norms of the widest are those of the start.
#
#   sh examples/figure4.sh [FOLDER]
#
# Writes into FOLDER (figures-small/ if not named); SCALE: see figures.sh; MNIST is downloaded where
# GENTOOL_DATA does not hold it.
set -eu
. "$(dirname "$0")/figures.sh"

mkdir -p "$folder/mlp" # a folder even for a single network
networks=$(gentool train --data "$MLP_DATA" --model mlp --hidden "$HIDDEN" --init uniform \
    "$@" -o "$folder/mlp")
records=$(gentool measure --skip-existing $networks)
worst=$(gentool sharpness --skip-existing $networks)
expected=$(gentool sharpness --expected --precision "$PRECISION" --skip-existing $networks)
gentool claims $records $worst $expected
gentool plot --figure 4 --reference $records $worst $expected --force -o "$folder/figure4.png"

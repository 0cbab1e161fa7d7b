#!/bin/sh
# Figure 4 of the paper: errors, measures and expected sharpness of MLPs against the number of hidden
# units, on MNIST. The narrowest MLPs cannot fit, so there is no --must-fit here. The initial weights
# are PyTorch's: with He's, which are larger, the norms of the widest MLPs stay near the initial ones.
#
#   sh examples/figure4.sh [FOLDER]
#
# Writes into FOLDER (default: figures-small). figures.sh lists the options: SCALE, TRAIN. MNIST is
# downloaded if the folder GENTOOL_DATA does not hold it.
set -eu
. "$(dirname "$0")/figures.sh"

mkdir -p "$folder/mlp" # so that -o is a folder even if only one network is trained
networks=$(gentool train --data "$MLP_DATA" --model mlp --hidden "$HIDDEN" --init uniform \
    "$@" -o "$folder/mlp")
records=$(gentool measure --skip-existing $networks)
worst=$(gentool sharpness --skip-existing $networks)
expected=$(gentool sharpness --expected --rel-error "$PRECISION" --skip-existing $networks)
gentool claims $records $worst $expected
gentool plot --figure 4 --reference $records $worst $expected --force -o "$folder/figure4.png"

#!/bin/sh
# Figure 2 of the paper: sharpness, and expected sharpness against KL, with true and random labels.
#
#   sh examples/figure2.sh [FOLDER]
#
# Writes into FOLDER (default: figures-small). figures.sh lists the options: SCALE, DATA, TRAIN.
set -eu
. "$(dirname "$0")/figures.sh"

networks=$(gentool train --data "$DATA" --width "$WIDTH" --subset "$SIZES" --labels true,random \
    --lr "$RATE" --must-fit "$@" -o "$folder/vgg")
worst=$(gentool sharpness --skip-existing $networks)
expected=$(gentool sharpness --expected --rel-error "$PRECISION" --skip-existing $networks)
gentool claims $worst $expected
gentool plot --figure 2 --reference $worst $expected --force -o "$folder/figure2.png"

#!/bin/sh
# Figure 3 of the paper: errors, measures and expected sharpness against the size of the confusion set.
#
#   sh examples/figure3.sh [FOLDER]
#
# Writes into FOLDER (default: figures-small). figures.sh lists the options: SCALE, DATA, TRAIN.
set -eu
. "$(dirname "$0")/figures.sh"

mkdir -p "$folder/vgg" # so that -o is a folder even if only one network is trained
networks=$(gentool train --data "$DATA" --width "$WIDTH" --subset "$SUBSET" \
    --confusion "$CONFUSION" --lr "$RATE" --must-fit "$@" -o "$folder/vgg")
records=$(gentool measure --skip-existing $networks)
worst=$(gentool sharpness --skip-existing $networks)
expected=$(gentool sharpness --expected --rel-error "$PRECISION" --skip-existing $networks)
gentool claims $records $worst $expected
gentool plot --figure 3 $records $worst $expected --force -o "$folder/figure3.png"

#!/bin/sh
# Figure 3 of the paper: errors, measures and expected sharpness with ever larger confusion sets.
#
#   sh examples/figure3.sh [FOLDER]
#
# Writes into FOLDER (figures-small/ if not named); SCALE and DATA: see figures.sh.
set -eu
. "$(dirname "$0")/figures.sh"

mkdir -p "$folder/vgg" # a folder even for a single network
networks=$(gentool train --data "$DATA" --width "$WIDTH" --subset "$SUBSET" \
    --confusion "$CONFUSION" --lr "$RATE" --must-fit "$@" -o "$folder/vgg")
records=$(gentool measure --skip-existing $networks)
worst=$(gentool sharpness --skip-existing $networks)
expected=$(gentool sharpness --expected --precision "$PRECISION" --skip-existing $networks)
gentool claims $records $worst $expected
gentool plot --figure 3 $records $worst $expected --force -o "$folder/figure3.png"

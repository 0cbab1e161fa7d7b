#!/bin/sh
# Figure 1 of the paper: norm capacities against the training-set size, with true and random labels.
#
#   sh examples/figure1.sh [FOLDER]
#
# Writes into FOLDER (default: figures-small). figures.sh lists the options: SCALE, DATA, TRAIN.
set -eu
. "$(dirname "$0")/figures.sh"

networks=$(gentool train --data "$DATA" --width "$WIDTH" --subset "$SIZES" --labels true,random \
    --lr "$RATE" --must-fit "$@" -o "$folder/vgg")
records=$(gentool measure --skip-existing $networks)
gentool claims $records
gentool plot --figure 1 --reference $records --force -o "$folder/figure1.png"

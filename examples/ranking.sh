#!/bin/sh
# Rank all measures on a grid of 144 MLPs: depth, width, learning rate, batch size, label noise, seed.
#
#   sh examples/ranking.sh [FOLDER]
#
# Writes the networks, their measures, table.csv and ranking.png into FOLDER (default: ranking).
# DATA names the data set, SUBSET the training images; SEEDS, DEPTHS and UNITS shorten the grid, and
# SHARPNESS=yes searches the worst perturbation of each network too, which takes longest. Training
# and measuring take minutes. Networks that do not fit their training set are left out, as in the
# comparisons of the literature.
set -eu
. "$(dirname "$0")/environment.sh"

folder=${1:-ranking}
DATA=${DATA:-mnist}
SUBSET=${SUBSET:-1000}
SEEDS=${SEEDS:-0,1,2}
DEPTHS=${DEPTHS:-1,2,3}
UNITS=${UNITS:-32,128}

gentool train --data "$DATA" --model mlp --subset "$SUBSET" --labels true,0.2 \
    --depth "$DEPTHS" --hidden "$UNITS" --lr 0.01,0.05 --batch-size 16,128 --seed "$SEEDS" \
    --schedule constant --epochs 2000 -o "$folder/mlp" >/dev/null
gentool measure --skip-existing -q "$folder/mlp" >/dev/null
if [ "${SHARPNESS:-no}" = yes ]; then
    gentool sharpness --skip-existing -q "$folder/mlp" >/dev/null
fi
fitted=$(grep -l '"stop_rule_met": true' "$folder"/mlp/*.measures.json)
for file in $fitted; do
    searched=${file%.measures.json}.sharpness.json
    [ ! -e "$searched" ] || fitted="$fitted
$searched"
done
gentool table $fitted --columns recipe,outcome,gap,measures --force -o "$folder/table.csv"
gentool claims $fitted --force -o "$folder/claims.json"
gentool plot --figure ranking $fitted --force -o "$folder/ranking.png"

#!/bin/sh
# paper-scale.sh on one GPU, several networks at a time: a batch of 64 images fills a part of it.
#
#   MINUTES=9 sh examples/paper-scale-gpu.sh [FOLDER]
#
# Starts paper-scale.sh for one part of the networks after another, as many at a time as LANES says,
# what matters most first: the protocol of the recipe `hidden` without dropout with the small sizes
# of Figures 1 and 2; the largest size; the protocol of other recipes; the other sizes; Figure 3; the
# other seeds. The variables are those of paper-scale.sh, but for NORMS, DROPOUTS and SIZES, and
# these:
#
#   LANES   parts at a time (default: 8 if NVIDIA's MPS runs, which lets processes compute on a GPU
#           at once; else 5, which take turns)
#   SMALL   small sizes, with commas (default: 5000,10000)
#   LARGE   large sizes, with spaces (default: '50000 20000 30000 40000')
#
# Messages of a part go to FOLDER/lane-N.txt. At the end summary.txt says what is missing of all.
# The exit code is that of paper-scale.sh.
set -eu

MINUTES=${MINUTES:-9}
began=$(date +%s)
: "${SEEDS:=0,1,2}" "${SMALL=5000,10000}" "${LARGE=50000 20000 30000 40000}"
: "${CONFUSION=1000,2000,3000,4000,5000}" "${GENTOOL:=}" "${LANES:=}"
case $SEEDS in
*,*) other_seeds=$(echo "${SEEDS#*,}" | tr , ' ') ;;
*) other_seeds= ;;
esac
folder=${1:-figures-paper-scale}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
examples=$(cd "$(dirname "$0")" && pwd)
if [ -z "$GENTOOL" ]; then
    cd "$examples/.."
    . "$examples/environment.sh"
    cd "$OLDPWD"
    GENTOOL=gentool
fi
export GENTOOL

commas() { # commas '1 2,3': 1,2,3
    echo "$1" | tr ' ' ,
}

parts() { # parts: the variables of each part, a line each
    first=${SEEDS%%,*} hidden="NORMS=hidden DROPOUTS=0"
    protocol_only="SEEDS=$first SIZES= CONFUSION="
    echo "$hidden SEEDS=$first SIZES=$SMALL CONFUSION="
    large="SEEDS=$first PROTOCOL_SIZES= CONFUSION="
    for size in ${LARGE%% *}; do echo "$hidden $large SIZES=$size"; done
    echo "NORMS=conv DROPOUTS=0 $protocol_only"
    echo "NORMS=all DROPOUTS=0 $protocol_only"
    echo "NORMS=hidden DROPOUTS=0.5 $protocol_only"
    for size in ${LARGE#* }; do echo "$hidden $large SIZES=$size"; done
    echo "$hidden SEEDS=$first SIZES= PROTOCOL_SIZES= CONFUSION=$CONFUSION"
    for seed in $other_seeds; do
        echo "$hidden SEEDS=$seed SIZES=$SMALL CONFUSION=$CONFUSION"
    done
    echo "NORMS=conv DROPOUTS=0.5 $protocol_only"
    echo "NORMS=all DROPOUTS=0.5 $protocol_only"
    for seed in $other_seeds; do
        echo "$hidden SEEDS=$seed SIZES=$(commas "$LARGE") PROTOCOL_SIZES= CONFUSION="
    done
}

start_mps() { # start NVIDIA's Multi-Process Service, unless this program does not run with it
    command -v nvidia-cuda-mps-control >/dev/null || return 1
    CUDA_MPS_PIPE_DIRECTORY=$(mktemp -d)
    CUDA_MPS_LOG_DIRECTORY=$CUDA_MPS_PIPE_DIRECTORY
    export CUDA_MPS_PIPE_DIRECTORY CUDA_MPS_LOG_DIRECTORY
    nvidia-cuda-mps-control -d >&2 || return 1
    trap stop_mps EXIT
    timeout -k 5 60 $GENTOOL train --model vgg --width 0.1 --subset 100 --epochs 1 --device cuda \
        --data "${DATA:-cifar10}" --quiet -o "$CUDA_MPS_PIPE_DIRECTORY/net.safetensors" >&2
}

stop_mps() {
    echo quit | timeout -k 5 20 nvidia-cuda-mps-control >&2 || :
    unset CUDA_MPS_PIPE_DIRECTORY CUDA_MPS_LOG_DIRECTORY
    trap - EXIT
}

if [ -z "$LANES" ]; then
    if start_mps; then
        LANES=8
        echo "paper-scale-gpu: MPS runs" >&2
    else
        [ -z "${CUDA_MPS_PIPE_DIRECTORY:-}" ] || stop_mps
        LANES=5
        echo "paper-scale-gpu: without MPS" >&2
    fi
fi

end=$((began + $(awk "BEGIN { printf \"%d\", 60 * $MINUTES }")))
trap : INT # the parts end, and the summary comes
parts | awk '{ print NR, $0 }' | xargs -P "$LANES" -L 1 sh -c '
    end=$1 script=$2 folder=$3 number=$4
    shift 4
    minutes=$(awk "BEGIN { print ($end - $(date +%s)) / 60 }")
    case $minutes in -*) minutes=0 ;; esac
    env "$@" OUT= MINUTES="$minutes" sh "$script" "$folder" 2>"$folder/lane-$number.txt"
' lane "$end" "$examples/paper-scale.sh" "$folder" || :

CONFUSION=${CONFUSION:+0,$CONFUSION} SIZES=$(commas "$SMALL $LARGE")
export CONFUSION SIZES SEEDS
MINUTES=0 sh "$examples/paper-scale.sh" "$folder"

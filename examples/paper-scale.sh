#!/bin/sh
# Figures 1 to 3 and the protocol at the paper's scale, as far as a given time allows.
#
#   MINUTES=9 sh examples/paper-scale.sh [FOLDER]
#
# Trains, measures, and computes sharpness and expected sharpness, job after job, what matters most
# first. Each job is one command for a few networks; files that exist are kept. When the time is
# over, the command in progress is stopped as by Ctrl-C, and what is missing is listed. Run the
# script again, with the same variables, to go on: a training continues from its last saved epoch.
# Several may run in the same FOLDER at once if no two have a network in common; paper-scale-gpu.sh
# does that.
#
# FOLDER (default: figures-paper-scale) gets
#
#   figures/      networks of the recipe that is chosen, for Figures 1 to 3:
#                 gentool plot --figure 1 FOLDER/figures/*.measures.json
#   protocol/     networks of all recipes that examples/results/PROTOCOL.md compares, at each stop
#   log.txt       seconds and exit code of each command
#   summary.txt   what is done and what is missing
#
# Paths of new files go to stdout, messages to stderr. The exit code is 0 if all is done, 124 if the
# time is over, 1 if a command failed, 130 after Ctrl-C. These variables are options:
#
#   MINUTES     time for all, with the installation (default: 9); a few seconds more for the summary
#   SCALE       paper (the default), half (for CPUs: half width, up to 20,000 images) or tiny (a test)
#   DATA        cifar10 (the default; downloaded if missing), folder:DIR or npz:FILE
#   DEVICE      as gentool's --device (default: auto)
#   PRECISION   of training steps (default: bfloat16 where there is an NVIDIA GPU, else float32)
#   JOBS        networks that are trained side by side (default: 1)
#   RECIPE      training options of all recipes (default: --recipe paper)
#   NORMS       layers with batch norm, the figures' recipe first (default: hidden,conv,all)
#   DROPOUTS    the same for dropout (default: 0,0.5)
#   STOPS       losses at which the protocol keeps networks (default: 0.1,0.01,0.001,0.0001)
#   STOP        the one of them at which the figures' networks stop (default: 0.0001)
#   SEEDS       0,1,2 by default; the first comes first
#   SEARCH      options of gentool sharpness (default: none)
#   EXPECTED    options of gentool sharpness --expected (default: --rel-error 0.1)
#   GENTOOL     command to use, such as 'python3 -m gentool' (default: installed as in environment.sh)
#   OUT         folder for at most 8 files of 16 MiB: the records in one archive, made anew after
#               each job, and at the end the two largest networks of Figure 1
#
# and those of the scale: WIDTH, SIZES, PROTOCOL_SIZES, SUBSET and CONFUSION (Figure 3) and EPOCHS. An
# empty list leaves its part out.
set -eu

began=$(date +%s)
SCALE=${SCALE:-paper}
case $SCALE in
paper)
    : "${WIDTH:=1}" "${SIZES=5000,10000,20000,30000,40000,50000}" "${PROTOCOL_SIZES=5000,10000}"
    : "${SUBSET:=10000}" "${CONFUSION=0,1000,2000,3000,4000,5000}"
    ;;
half)
    : "${WIDTH:=0.5}" "${SIZES=2500,5000,10000,20000}" "${PROTOCOL_SIZES=5000}"
    : "${SUBSET:=5000}" "${CONFUSION=0,500,1000,1500,2000,2500}"
    ;;
tiny)
    : "${WIDTH:=0.05}" "${SIZES=20,40}" "${PROTOCOL_SIZES=20}" "${SUBSET:=20}" "${CONFUSION=0,10}"
    : "${NORMS:=hidden,conv}" "${SEEDS:=0,1}" "${EPOCHS:=3}"
    : "${SEARCH:=--restarts 1 --steps 1}" "${EXPECTED:=--draws 2 --alpha 0.001}"
    : "${STOPS:=8,5,0.1}" "${STOP:=0.1}" # 8 and 5 are passed in the first epoch
    ;;
*)
    echo "SCALE is paper, half or tiny, not $SCALE" >&2
    exit 2
    ;;
esac
: "${MINUTES:=9}" "${DATA:=cifar10}" "${DEVICE:=auto}" "${JOBS:=1}" "${EPOCHS:=1000}"
: "${RECIPE:=--recipe paper}" "${NORMS:=hidden,conv,all}" "${DROPOUTS:=0,0.5}"
: "${STOPS:=0.1,0.01,0.001,0.0001}" "${STOP:=0.0001}" "${SEEDS:=0,1,2}" "${SEARCH:=}" "${EXPECTED:=--rel-error 0.1}"
case $MINUTES in
*[!0-9.]* | *.*.* | .)
    echo "MINUTES is a number of minutes, such as 9 or 0.5, not $MINUTES" >&2
    exit 2
    ;;
esac
commas() { # commas '1 2,3': 1,2,3
    (
        IFS=' ,'
        set -f -- $1
        IFS=,
        echo "$*"
    )
}

decimals() { # decimals 0,0.50: 0.0,0.5, as Python writes them in the names of files
    echo "$1" | awk -F , '{
        for (i = 1; i <= NF; i++) {
            number = sprintf("%.15g", $i)
            printf "%s%s%s", (i > 1 ? "," : ""), number, (number ~ /[.e]/ ? "" : ".0")
        }
    }'
}

NORMS=$(commas "$NORMS") SEEDS=$(commas "$SEEDS") STOPS=$(commas "$STOPS")
SIZES=$(commas "$SIZES") PROTOCOL_SIZES=$(commas "$PROTOCOL_SIZES")
CONFUSION=$(commas "$CONFUSION") DROPOUTS=$(decimals "$(commas "$DROPOUTS")")
WIDTH=$(decimals "$WIDTH")
case ,$STOPS, in
*,"$STOP",*) ;;
*)
    echo "STOP is one of STOPS, $STOPS, not $STOP" >&2
    exit 2
    ;;
esac
command -v timeout >/dev/null || {
    echo "the command timeout is missing; it is part of GNU coreutils" >&2
    exit 1
}
if [ -z "${PRECISION:-}" ]; then
    PRECISION=float32
    [ "$DEVICE" = cpu ] || ! nvidia-smi >/dev/null 2>&1 || PRECISION=bfloat16
fi
end=$((began + $(awk "BEGIN { printf \"%d\", 60 * $MINUTES }")))
folder=${1:-figures-paper-scale}
mkdir -p "$folder/figures" "$folder/protocol"
folder=$(cd "$folder" && pwd)
[ -z "${OUT:-}" ] || OUT=$(cd "$OUT" && pwd)
case $DATA in # relative to the folder in which the script was called
folder:*) DATA=folder:$(cd "${DATA#folder:}" && pwd) ;;
npz:*) DATA=npz:$(cd "$(dirname "${DATA#npz:}")" && pwd)/$(basename "${DATA#npz:}") ;;
esac
examples=$(cd "$(dirname "$0")" && pwd)
cd "$examples/.."
if [ -z "${GENTOOL:-}" ]; then
    . "$examples/environment.sh"
    GENTOOL=gentool
fi

# The jobs. A job is a line: what to do, and the grid of networks to do it for, as folder, batch
# norm, dropout, labels, images, confusion images and seeds.

all_jobs() {
    IFS=,
    norm=${NORMS%%,*} dropout=${DROPOUTS%%,*} seed=${SEEDS%%,*}
    other_norms=${NORMS#"$norm"} other_dropouts=${DROPOUTS#"$dropout"} other_seeds=${SEEDS#"$seed"}
    for other in $norm$other_norms; do # the chosen recipe first
        protocol "$other" "$dropout" true,random "$seed"
    done
    sizes trained "$seed"     # Figure 1
    sizes sharp "$seed"       # Figure 2
    confusion trained "$seed" # Figure 3
    confusion sharp "$seed"
    for seed in ${other_seeds#,}; do
        protocol "$norm" "$dropout" true,random "$seed"
        sizes trained "$seed"
        confusion trained "$seed"
    done
    for seed in ${other_seeds#,}; do
        sizes sharp "$seed"
        confusion sharp "$seed"
    done
    # Dropout takes the most epochs. True labels first: the protocol asks for their test error.
    for labels in true random; do
        for other_dropout in ${other_dropouts#,}; do
            for other in $NORMS; do
                protocol "$other" "$other_dropout" "$labels" "${SEEDS%%,*}"
            done
        done
    done
    for seed in ${other_seeds#,}; do
        for any_dropout in $DROPOUTS; do
            for any in $NORMS; do
                protocol "$any" "$any_dropout" true,random "$seed"
            done
        done
    done
}

protocol() { # protocol NORM DROPOUT LABELS SEED
    [ -z "$PROTOCOL_SIZES" ] || trained protocol "$1" "$2" "$3" "$PROTOCOL_SIZES" 0 "$4"
}

sizes() { # sizes trained|sharp SEED
    for size in $SIZES; do
        "$1" figures "$norm" "$dropout" true,random "$size" 0 "$2"
    done
}

confusion() { # confusion trained|sharp SEED
    [ -z "$CONFUSION" ] || "$1" figures "$norm" "$dropout" true "$SUBSET" "$CONFUSION" "$2"
}

trained() {
    echo train "$@"
    echo measure "$@"
}

sharp() {
    echo sharpness "$@"
    echo expected "$@"
}

# The files of the networks of a job.

case $DATA in
*:*) source=$(basename "${DATA#*:}") source=${source%.*} ;;
*) source=$DATA ;;
esac

stems() ( # of the networks of the job, without folder
    IFS=,
    options=batch-norm-$norm-dropout$dropout-width$WIDTH
    for size in $sizes; do
        for confusion in $confusions; do
            [ "$confusion" = 0 ] && added='' || added=-confusion$confusion
            for seed in $seeds; do
                for label in $labels; do
                    echo "vgg-$options-$source-$label-$size$added-seed$seed"
                done
            done
        done
    done
)

checkpoints() { # checkpoints STEM: those of a network that exist, the last one last
    for path in "$folder/$place/$1".loss*.safetensors "$folder/$place/$1.safetensors"; do
        [ ! -e "$path" ] || echo "$path"
    done
}

is_whole() { # is_whole RECORD: exists, and its search was not stopped early
    if [ -e "$1" ] && grep -q '"stopped": *"interrupted"' "$1"; then
        mv "$1" "$1.partial"
    fi
    [ -e "$1" ]
}

is_there() { # is_there STEM: the job is done for this network
    case $kind in
    train) [ -e "$folder/$place/$1.safetensors" ] ;;
    measure) [ -e "$folder/$place/$1.safetensors" ] && [ -z "$(unmeasured "$1")" ] ;;
    *) is_whole "$folder/$place/$1.$kind.json" ;;
    esac
}

unmeasured() { # unmeasured STEM: checkpoints of a network without a measure file
    checkpoints "$1" | while read -r path; do
        [ -e "${path%.safetensors}.measures.json" ] || echo "$path"
    done
}

missing() { # stems of the networks of the job that it is not done for
    stems | while read -r stem; do
        is_there "$stem" || echo "$stem"
    done
}

# Doing a job.

left() {
    echo $((end - $(date +%s)))
}

call() { # call ARGUMENTS: run gentool until the time is over, then stop it as by Ctrl-C
    timeout --foreground -s INT -k 20 "$(left)" \
        $GENTOOL "$@" --device "$DEVICE" </dev/null >/dev/null
}

train() {
    if [ "$place" = protocol ]; then
        earlier=${STOPS%,*}
        set -- --stop-loss "${STOPS##*,}" ${earlier:+--keep-at "$earlier"}
    else
        set -- --stop-loss "$STOP"
        take_from_protocol
        [ -n "$(missing)" ] || return 0
    fi
    called=yes
    call train $RECIPE --batch-norm "$norm" --dropout "$dropout" --width "$WIDTH" --data "$DATA" \
        --labels "$labels" --subset "$sizes" --confusion "$confusions" --seed "$seeds" \
        --epochs "$EPOCHS" --precision "$PRECISION" --jobs "$JOBS" "$@" -o "$folder/$place"
}

take_from_protocol() { # a network that the protocol has at the stop of the figures is not trained again
    [ "$STOP" = "${STOPS##*,}" ] || return 0 # those kept earlier may have images that are wrong
    missing >"$folder/.missing.$$"
    while read -r stem; do
        path=$folder/protocol/$stem.safetensors
        [ ! -e "$path" ] || cp "$path" "$folder/figures/$stem.safetensors"
    done <"$folder/.missing.$$"
    rm "$folder/.missing.$$"
}

on_missing() { # on_missing ARGUMENTS: call gentool for the checkpoints that the job is not done for
    missing >"$folder/.missing.$$"
    while read -r stem; do
        if [ "$kind" = measure ]; then
            unmeasured "$stem"
        elif [ -e "$folder/$place/$stem.safetensors" ]; then
            echo "$folder/$place/$stem.safetensors"
        fi
    done <"$folder/.missing.$$" >"$folder/.checkpoints.$$"
    while read -r path; do
        set -- "$@" "$path"
        called=yes
    done <"$folder/.checkpoints.$$"
    rm "$folder/.missing.$$" "$folder/.checkpoints.$$"
    [ -z "$called" ] || call "$@" --quiet
}

do_job() {
    touch "$folder/.began.$$"
    job_began=$(date +%s) code=0 called=
    case $kind in
    train) train || code=$? ;;
    measure) on_missing measure || code=$? ;;
    sharpness) on_missing sharpness $SEARCH || code=$? ;;
    expected) on_missing sharpness --expected $EXPECTED || code=$? ;;
    esac
    seconds=$(($(date +%s) - job_began))
    still_missing=$(missing) # sets records aside whose search was stopped early
    stems | while read -r stem; do
        find "$folder/$place" -newer "$folder/.began.$$" -name "$stem.*" \
            \( -name '*.safetensors' -o -name '*.json' \)
    done | sort
    rm "$folder/.began.$$"
    [ -n "$called" ] || return 0 # there is no network that it could be done for
    printf '%s\t%s\t%s\n' "$seconds" "$code" "$job" >>"$folder/log.txt"
    say "$seconds s, exit code $code, $(left) s left: $job"
}

say() {
    echo "paper-scale: $*" >&2
}

pack() { # the records as one archive in OUT, replaced whole
    [ -n "${OUT:-}" ] || return 0
    (
        cd "$folder"
        for path in figures/*.safetensors protocol/*.safetensors; do # recipe, outcome and history
            [ ! -e "$path" ] || [ -e "${path%.safetensors}.metadata" ] || metadata "$path"
        done
        find . -name '*.json' -o -name '*.partial' -o -name '*.metadata' -o -name '*.txt' |
            tar -czf .packed.$$ -T -
        mv .packed.$$ "$OUT/paper-scale.tar.gz"
    )
}

metadata() { # metadata CHECKPOINT: write the JSON at the head of a safetensors file
    bytes=$(od -A n -t u8 -N 8 "$1" | tr -d ' ')
    tail -c +9 "$1" | head -c "$bytes" >"${1%.safetensors}.metadata"
}

PART=15728640 # bytes: 15 MiB

pack_networks() { # the two largest networks of Figure 1 that are done; in parts for `cat` if large
    [ -n "${OUT:-}" ] && [ -n "$SIZES" ] || return 0
    place=figures norm=${NORMS%%,*} dropout=${DROPOUTS%%,*} confusions=0
    labels=true,random seeds=${SEEDS%%,*} sizes=$SIZES
    stems | while read -r stem; do checkpoints "$stem"; done | tail -n 2 | while read -r path; do
        bytes=$(wc -c <"$path")
        if [ "$bytes" -le "$PART" ]; then
            cp "$path" "$OUT"
        elif [ "$bytes" -le $((2 * PART)) ]; then
            split -b "$PART" "$path" "$OUT/$(basename "$path").part-"
        fi
    done
}

# All jobs in turn: `stopped` is why no more of them are begun.

stopped='' done_jobs=0 missing_jobs=0 failed=0 failed_in_a_row=0
trap 'stopped="interrupted"' INT
all_jobs | awk '!seen[$0]++' >"$folder/.jobs.$$"
: >"$folder/.missing_jobs.$$"
say "$(wc -l <"$folder/.jobs.$$") jobs, $(left) s, precision $PRECISION, in $folder"
while read -r job <&3; do
    read -r kind place norm dropout labels sizes confusions seeds <<END
$job
END
    still_missing=$(missing)
    [ -n "$stopped" ] || [ "$(left)" -ge 10 ] || stopped="time is over" # a start takes seconds
    if [ -n "$still_missing" ] && [ -z "$stopped" ]; then
        do_job
        if [ -z "$called" ] || [ -n "$stopped" ]; then
            :
        elif [ "$code" = 0 ]; then
            failed_in_a_row=0
        elif [ "$code" = 124 ] || [ "$(left)" -le 0 ]; then
            stopped="time is over"
        else
            failed=$((failed + 1)) failed_in_a_row=$((failed_in_a_row + 1))
            [ "$failed_in_a_row" -lt 3 ] || stopped="three commands failed in a row"
        fi
        pack
    fi
    if [ -z "$still_missing" ]; then
        done_jobs=$((done_jobs + 1))
    else
        missing_jobs=$((missing_jobs + 1))
        whole=$(stems | wc -l)
        echo "missing $(echo "$still_missing" | wc -l) of $whole: $job" >>"$folder/.missing_jobs.$$"
    fi
done 3<"$folder/.jobs.$$"
{
    echo "$done_jobs jobs done, $missing_jobs not${stopped:+; $stopped}"
    cat "$folder/.missing_jobs.$$"
} >"$folder/summary.txt"
rm "$folder/.jobs.$$" "$folder/.missing_jobs.$$"
while read -r line; do say "$line"; done <"$folder/summary.txt"
pack
pack_networks
[ "$missing_jobs" -gt 0 ] || exit 0
[ "$stopped" != interrupted ] || exit 130
[ "$stopped" != "time is over" ] || [ "$failed" -gt 0 ] || exit 124
exit 1

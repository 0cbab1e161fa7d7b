# Sourced by figure1.sh to figure4.sh: sets the folder, the scale and the data, and finds gentool.
# These variables are options:
#
#   SCALE   small (the default: VGGs of quarter width, few images, for two cores) or paper (the paper's sizes)
#   DATA    cifar10 (the default; downloaded if missing) or folder:DIR, a folder of images
#   TRAIN   further options of gentool train, for example TRAIN='--seed 0,1,2'
#
# and WIDTH, SIZES and the others below, for scales in between.
#
# Figures 1 to 3 keep their networks in one folder, so that a network of two figures is trained once.
# Files that exist are kept: after an interruption, run the script again to go on.

SCALE=${SCALE:-small}
DATA=${DATA:-cifar10}
MLP_DATA=${MLP_DATA:-mnist}
case $SCALE in
small)
    : "${WIDTH:=0.25}" "${SIZES:=500,1000,2000,4000}"
    # the VGGs' learning rate: 1.5 times gentool's default, at which norms stay near their initial values
    : "${RATE:=$(awk "BEGIN { print 0.015 / ($WIDTH < 0.25 ? 0.25 : $WIDTH) }")}"
    : "${SUBSET:=2000}" "${CONFUSION:=0,250,500,750,1000}"
    : "${HIDDEN:=8,16,32,64,128,256,512,1024}"
    : "${PRECISION:=0.1}" # relative standard error of the expected sharpness
    ;;
paper)
    : "${WIDTH:=1}" "${RATE:=0.01}" "${SIZES:=5000,10000,20000,30000,40000,50000}"
    : "${SUBSET:=10000}" "${CONFUSION:=0,1000,2000,3000,4000,5000}"
    : "${HIDDEN:=8,16,32,64,128,256,512,1024,2048,4096,8192}"
    : "${PRECISION:=0.05}"
    ;;
*)
    echo "SCALE is small or paper, not $SCALE" >&2
    exit 2
    ;;
esac
folder=$(mkdir -p "${1:-figures-$SCALE}" && cd "${1:-figures-$SCALE}" && pwd)
case $DATA in # DIR is relative to the folder in which the script was called
folder:*) DATA=folder:$(cd "${DATA#folder:}" && pwd) ;;
esac
examples=$(cd "$(dirname "$0")" && pwd)
cd "$examples/.."
. "$examples/environment.sh"

set -- ${TRAIN:-} # from here on "$@" holds the training options

# Split at line ends only: a command prints one path a line, and the next takes them as arguments.
IFS='
'

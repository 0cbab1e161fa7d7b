# Sourced by figure1.sh to figure4.sh: their folder, their scale, their data, and gentool itself.
#
#   SCALE   small (the default: quarter width, few images, two cores) or paper (the paper's own sizes)
#   DATA    CIFAR-10 (cifar10, downloaded where it is missing) or folder:DIR, the same images as files
#   TRAIN   further options of gentool train, as TRAIN='--seed 0,1,2'
#
# and WIDTH, SIZES and the others below for scales in between.
#
# The networks of figures 1 to 3 lie in one folder, so that what two figures share is trained once.
# Everything that exists is kept: run again, a script goes on where it was interrupted.

SCALE=${SCALE:-small}
DATA=${DATA:-cifar10}
MLP_DATA=${MLP_DATA:-mnist}
case $SCALE in
small)
    : "${WIDTH:=0.25}" "${SIZES:=500,1000,2000,4000}"
    # the VGGs' learning rate, half as much again as by default, where norms stay near their start
    : "${RATE:=$(awk "BEGIN { print 0.015 / ($WIDTH < 0.25 ? 0.25 : $WIDTH) }")}"
    : "${SUBSET:=2000}" "${CONFUSION:=0,250,500,750,1000}"
    : "${HIDDEN:=8,16,32,64,128,256,512,1024}"
    : "${PRECISION:=0.1}" # standard error of the expected sharpness over its value
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
case $DATA in # a folder is named from where the script was called
folder:*) DATA=folder:$(cd "${DATA#folder:}" && pwd) ;;
esac
cd "$(dirname "$0")/.."
. examples/environment.sh

set -- ${TRAIN:-} # the options of the networks' training, as "$@"

# The commands print the paths of their files, one a line, which are the arguments of the next.
IFS='
'

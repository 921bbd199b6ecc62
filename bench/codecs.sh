#!/usr/bin/env bash
# bench/codecs.sh [SIZE]: all weights of a layer [SIZE, SIZE] rounded and pruned, by
# ours and by PyTorch, in turn; 10000 unless given, 100 million weights. Then the
# memory of calibration on few and on many examples. README.md beside it says what the rows are. Writes bench/codecs.tsv. Needs Debian's
# python3-torch and libopenblas0-openmp, as bench/compare.sh installs them.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
command -v go >/dev/null || export PATH=$PATH:/usr/local/go/bin

size=${1-10000}
if ! [[ $size =~ ^[1-9][0-9]*$ ]]; then
	echo "usage: bench/codecs.sh [SIZE]" >&2
	exit 2
fi
readonly repeats=3 seconds=1 results=bench/codecs.tsv python=/usr/bin/python3
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

"$python" -c 'import torch' 2>/dev/null || {
	echo "bench/codecs.sh: error: PyTorch is missing; install it: apt-get install python3-torch" >&2
	exit 1
}
go build -o "$scratch/ours" ./bench/ours

median() { sort -g | sed -n "$(((repeats + 1) / 2))p"; }

ours() { "$scratch/ours" --work "$1" --size "$size" --threads "$2" --seconds "$seconds"; }

# peer WORK THREADS VARIANT SECONDS; a variant that ends in -kept keeps the memory of
# results for the next, as our own program does, where PyTorch asks the system anew.
peer() {
	local variant=${3%-kept}
	if [[ $3 == *-kept ]]; then local -x MALLOC_MMAP_THRESHOLD_=$((1 << 36)) MALLOC_TRIM_THRESHOLD_=$((1 << 36)) MALLOC_TOP_PAD_=$((1 << 30)); fi
	OMP_NUM_THREADS=$2 "$python" bench/peers/torch_codecs.py --work "${1%-*}" --variant "$variant" --size "$size" --threads "$2" --seconds "$4"
}

# fastest WORK THREADS VARIANT... is the variant of the peer that one run of each
# shows to be the fastest.
fastest() {
	local work=$1 threads=$2 variant
	shift 2
	for variant; do echo "$(peer "$work" "$threads" "$variant" 0) $variant"; done | sort -g | tail -n 1 | cut -d' ' -f2
}

# measure WORK THREADS GOAL VARIANT... prints a row and keeps it.
measure() {
	local work=$1 threads=$2 goal=$3 variant i a b ratio
	shift 3
	variant=$(fastest "$work" "$threads" "$@")
	: >"$scratch/a" >"$scratch/b"
	for ((i = 0; i < repeats; i++)); do
		ours "$work" "$threads" >>"$scratch/a"
		peer "$work" "$threads" "$variant" "$seconds" >>"$scratch/b"
	done
	a=$(median <"$scratch/a") b=$(median <"$scratch/b")
	row "$work $size, ${threads}T (Mweights/s; $variant)" "$a" "$b" "$(awk -v a="$a" -v b="$b" 'BEGIN { printf "%.1f", a / b }')" "$goal"
}

# row NAME OURS PEER RATIO GOAL
row() {
	local IFS=$'\t'
	echo "$*$IFS$commit$IFS$(cut -d' ' -f1 /proc/loadavg)" | tee -a "$scratch/rows"
}

# calibration FEW MANY: what the process holds at most, its "peer" with few examples.
calibration() {
	local few many
	few=$("$scratch/ours" --work calibrate --size "$1") many=$("$scratch/ours" --work calibrate --size "$2")
	row "calibrate resnet20, 1T (MB on $2 examples; on $1)" "$many" "$few" "$(awk -v a="$few" -v b="$many" 'BEGIN { printf "%.2f", a / b }')" 0.9
}

commit=$(git rev-parse --short HEAD)
printf 'work\tours\tpeer\tratio\tgoal\tcommit\tload\n' | tee "$scratch/rows"
for threads in 1 2; do
	if ((threads > $(nproc))); then continue; fi
	measure int8 "$threads" 10 quantize arithmetic
	measure int8 "$threads" "" quantize-kept arithmetic-kept
	measure int8-mse "$threads" 1 quantize arithmetic
	measure prune "$threads" 10 kthvalue sort partition
	measure prune "$threads" "" kthvalue-kept sort-kept partition-kept
done
calibration 100 10000
mv "$scratch/rows" "$results"
echo "written: $results"

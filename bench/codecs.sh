#!/usr/bin/env bash
# bench/codecs.sh [SIZE]: all weights of a layer [SIZE, SIZE] rounded and pruned, by
# ours and by PyTorch, in turn; 10000 unless given, 100 million weights. README.md
# beside it says what the rows are. Writes bench/codecs.tsv. Needs Debian's
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

peer() { OMP_NUM_THREADS=$2 "$python" bench/peers/torch_codecs.py --work "${1%-*}" --variant "$3" --size "$size" --threads "$2" --seconds "$4"; }

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
	ratio=$(awk -v a="$a" -v b="$b" 'BEGIN { printf "%.1f", a / b }')
	printf '%s %s, %sT (Mweights/s; %s)\t%s\t%s\t%s\t%s\t%s\t%s\n' "$work" "$size" "$threads" "$variant" "$a" "$b" "$ratio" "$goal" "$commit" \
		"$(cut -d' ' -f1 /proc/loadavg)" | tee -a "$scratch/rows"
}

commit=$(git rev-parse --short HEAD)
printf 'work\tours\tpeer\tratio\tgoal\tcommit\tload\n' | tee "$scratch/rows"
for threads in 1 2; do
	if ((threads > $(nproc))); then continue; fi
	measure int8 "$threads" 10 quantize arithmetic
	measure int8-mse "$threads" 1 quantize arithmetic
	measure prune "$threads" 10 kthvalue sort partition
done
mv "$scratch/rows" "$results"
echo "written: $results"

#!/usr/bin/env bash
# bench/training.sh [REPEATS] [DATA]: what the monitor and dropout cost a training on
# MNIST, or the data named: without and with it in turn, 7 times each unless given.
# README.md beside it says what the rows are. Writes bench/training.tsv. What a path of
# regularised training costs is bench/paths.sh's.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
command -v go >/dev/null || export PATH=$PATH:/usr/local/go/bin

readonly repeats=${1-7} data=${2-../shared/data/datasets/mnist} results=bench/training.tsv
if ! [[ $repeats =~ ^[1-9][0-9]*$ ]]; then
	echo "usage: bench/training.sh [REPEATS] [DATA]" >&2
	exit 2
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

go build -o "$scratch/ours" ./bench/ours

# measure WORK NETWORK THREADS GOAL prints a row and keeps it.
measure() {
	local without with ratio figures
	figures=$("$scratch/ours" --work "$1-$2" --threads "$3" --size 128 --repeats "$repeats" --data "$data")
	read -r without with ratio <<<"$figures"
	row "$1 $2, ${3}T" "$without" "$with" "$ratio" "$4"
}

# row NAME SECONDS SECONDS RATIO GOAL
row() {
	local IFS=$'\t'
	echo "$*$IFS$commit$IFS$(cut -d' ' -f1 /proc/loadavg)" | tee -a "$scratch/rows"
}

commit=$(git rev-parse --short HEAD)
printf 'work\tseconds without\twith\tratio\tgoal\tcommit\tload\n' | tee "$scratch/rows"
for threads in 1 2; do
	if ((threads > $(nproc))); then continue; fi
	for network in lenet-300-100 lenet5; do
		measure monitor "$network" "$threads" 1.05
		measure dropout "$network" "$threads" ""
	done
done
mv "$scratch/rows" "$results"
echo "written: $results"

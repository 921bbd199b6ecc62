#!/usr/bin/env bash
# bench/paths.sh [DATA]: what a path of 20 places costs, in trainings from scratch of
# 12 epochs: LeNet-300-100 on MNIST, or the data named. Both run on one thread, and
# seconds are of the processor, so that a busy machine does not matter much. README.md
# beside it says what the rows are. Writes bench/paths.tsv.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
command -v go >/dev/null || export PATH=$PATH:/usr/local/go/bin

readonly data=${1-../shared/data/datasets/mnist} results=bench/paths.tsv goal=6
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

go build -o "$scratch/compactify" ./cmd/compactify

# seconds COMMAND...: of the processor.
seconds() {
	local TIMEFORMAT='%U'
	{ time "$@" --data "$data" --threads 1 --quiet --json >"$scratch/result.json" 2>"$scratch/errors"; } 2>&1 || {
		cat "$scratch/errors" >&2
		exit 1
	}
}

# number KEY: the first number under a key of the result.
number() { sed -n "s/.*\"$1\": \([-0-9.e]*\).*/\1/p" "$scratch/result.json" | head -n 1; }

commit=$(git rev-parse --short HEAD)
row() {
	local IFS=$'\t'
	echo "$*$IFS$commit$IFS$(cut -d' ' -f1 /proc/loadavg)" | tee -a "$scratch/rows"
}

printf 'work\tseconds\tplaces\tratio\tgoal\tloss_at\tcommit\tload\n' | tee "$scratch/rows"
base=$(seconds "$scratch/compactify" train --arch lenet-300-100 --epochs 12 --out "$scratch/model.onnx")
row "train lenet-300-100" "$base" "" 1 "" ""
for kind in l2 l1 group maxnorm dropout; do
	s=$(seconds "$scratch/compactify" walk "$kind" "$scratch/model.onnx" --grid 16 --approach 4 --refine 0 --out "$scratch/$kind")
	places=$(grep -c . "$scratch/$kind/points.jsonl")
	row "walk $kind" "$s" "$places" "$(awk -v a="$s" -v b="$base" 'BEGIN { printf "%.2f", a / b }')" "$goal" "$(number loss_at)"
done
mv "$scratch/rows" "$results"
echo "written: $results"

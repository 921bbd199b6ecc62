#!/usr/bin/env bash
# bench/deployed.sh: how fast ONNX Runtime runs models before and after `compactify
# run --activations int8`, in turn. Needs ../shared/data and the ONNX Runtime that
# bench/compare.sh installs, or another Python with onnxruntime in $ORT_PYTHON. README.md
# beside it says what the rows are. Writes bench/deployed.tsv.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
command -v go >/dev/null || export PATH=$PATH:/usr/local/go/bin

readonly repeats=7 seconds=1 results=bench/deployed.tsv data=../shared/data
readonly python=${ORT_PYTHON:-${XDG_CACHE_HOME:-$HOME/.cache}/compactify-bench/onnxruntime-1.32.0/bin/python}
readonly tiny=$data/models/mlperf-tiny cifar=$data/datasets/cifar10
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

version=$("$python" -c 'import onnxruntime; print(onnxruntime.__version__)') || {
	echo "bench/deployed.sh: error: ONNX Runtime is missing: run bench/compare.sh --quick first, or set ORT_PYTHON" >&2
	exit 1
}
go build -o "$scratch/compactify" ./cmd/compactify

median() { sort -g | sed -n "$(((repeats + 1) / 2))p"; }

runs() { "$python" bench/peers/ort_infer.py --model "$1" --threads "$2" --seconds "$seconds"; }

# measure NAME MODEL ARGUMENTS... compresses a model and times both.
measure() {
	local name=$1 model=$2 threads i before after
	shift 2
	"$scratch/compactify" run "$model" "$@" --activations int8 --quiet --out "$scratch/$name" >"$scratch/$name.txt" || {
		echo "bench/deployed.sh: error: $name was not compressed" >&2
		exit 1
	}
	for threads in 1 2; do
		if ((threads > $(nproc))); then continue; fi
		: >"$scratch/before" >"$scratch/after"
		for ((i = 0; i < repeats; i++)); do
			runs "$model" "$threads" >>"$scratch/before"
			runs "$scratch/$name/model.onnx" "$threads" >>"$scratch/after"
		done
		before=$(median <"$scratch/before") after=$(median <"$scratch/after")
		row "$name, ${threads}T" "$(stat -c %s "$model")" "$(stat -c %s "$scratch/$name/model.onnx")" "$before" "$after" \
			"$(awk -v b="$before" -v a="$after" 'BEGIN { printf "%.2f", a / b }')" 1
	done
}

# row NAME BYTES BYTES RUNS RUNS RATIO GOAL
row() {
	local IFS=$'\t'
	echo "$*$IFS$version$IFS$commit$IFS$(cut -d' ' -f1 /proc/loadavg)" | tee -a "$scratch/rows"
}

commit=$(git rev-parse --short HEAD)
printf 'model\tbytes before\tafter\truns/s before\tafter\tratio\tgoal\truntime\tcommit\tload\n' | tee "$scratch/rows"
measure dscnn "$tiny/keyword_spotting/dscnn.onnx" --data "$tiny/keyword_spotting/eval/kws.npz" --budget 1pp
measure resnet8 "$tiny/image_classification/resnet8.onnx" --data "$cifar/data_batch_1-first4000.bin.gz" --eval "$cifar/test-jpeg75.tar.gz" --raw --budget 1pp --finetune 0
mv "$scratch/rows" "$results"
echo "written: $results"

#!/usr/bin/env bash
# bench/compare.sh [--quick | --only PATTERN]: our speed beside OpenBLAS's, PyTorch's and ONNX
# Runtime's, measured in one run on one machine. README.md beside it says what is
# measured and how to read the table. Installs the peers where they are missing:
# from Debian (as root), and ONNX Runtime into a folder of its own.
set -euo pipefail
shopt -s inherit_errexit

cd "$(dirname "${BASH_SOURCE[0]}")/.."
command -v go >/dev/null || export PATH=$PATH:/usr/local/go/bin

quick=false only=""
case "${1-} $#" in
" 0") ;;
"--quick 1") quick=true ;;
"--only 2") only=$2 ;;
*)
	echo "usage: bench/compare.sh [--quick | --only PATTERN]" >&2
	exit 2
	;;
esac

repeats=5 # odd, for the median
seconds=1
infer_seconds=0.5 # of a row of inference; there are many
if $quick; then repeats=3 seconds=0.5 infer_seconds=0.3; fi
readonly usual_repeats=$repeats large_repeats=3 # of inference on large batches

readonly results=bench/results.tsv
readonly data=../shared/data
readonly python=/usr/bin/python3 # Debian's: the one that has python3-torch
readonly ort_version=1.32.0
readonly ort_home=${XDG_CACHE_HOME:-$HOME/.cache}/compactify-bench/onnxruntime-$ort_version
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

die() {
	printf 'bench/compare.sh: error: %s\n' "$*" >&2
	exit 1
}

# rows THREADS lists what is measured: kind, its argument, size or batch, unit of
# the figures, goal. Every ratio is such that more is better.
rows() {
	local threads=$1 size sizes="512 1024 2048 4096" model models batches="1 64" batch form
	models="resnet20 resnet8 dscnn magika silero dnsmos lenet5-caffe"
	if $quick; then sizes=1024 models="resnet20 dscnn silero" batches=1; fi
	for size in $sizes; do echo "sgemm - $size GFLOP/s 0.95"; done
	echo "train mlp 128 img/s 1.3"
	echo "train lenet5 128 img/s 1.3"
	echo "train lenet5-caffe 128 img/s 1.3"
	echo "train resnet20 128 img/s 1.0"
	for form in float int8; do
		for batch in $batches; do
			for model in $models; do echo "$form $model $batch runs/s 1.0"; done
		done
		$quick || echo "$form resnet18 1 runs/s $([[ $form == float ]] && echo 0.9 || echo 1.0)"
		$quick || echo "$form mobilenetv2 1 runs/s $([[ $form == float ]] && echo 0.9 || echo 1.0)"
	done
	$quick || for batch in 1 197; do echo "float mlp-768 $batch runs/s 1.0"; done
	echo "speedup resnet20 1 runs/s 2.8"
	$quick || echo "speedup resnet18 1 runs/s 2.8"
	if ((threads == 1)); then
		echo "hvp lenet5 128 products/gradient 0.385" # 1/2.6
		echo "hvp lenet5-caffe 128 products/gradient 0.385"
		echo "memory lenet5 128 MB 4.38" # PyTorch's 263 MB over 60
		echo "memory lenet5-caffe 128 MB 4.38"
	fi
}

install_peers() {
	local packages=(gcc libc6-dev libopenblas-openmp-dev libopenblas0-openmp python3-torch python3-venv) missing=() p
	for p in "${packages[@]}"; do
		[[ $(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null) == installed ]] || missing+=("$p")
	done
	if ((${#missing[@]} > 0)); then
		((EUID == 0)) || die "peers are missing; install them: apt-get install ${missing[*]}"
		echo "installing ${missing[*]}" >&2
		apt-get -qq update
		DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null
	fi
	ort=$ort_home/bin/python
	if ! "$ort" -c 'import onnxruntime' 2>/dev/null; then
		echo "installing onnxruntime $ort_version into $ort_home" >&2
		if ! { "$python" -m venv "$ort_home" && "$ort" -m pip -q install "onnxruntime==$ort_version"; } >&2; then
			echo "ONNX Runtime could not be installed: its rows are left out" >&2
			ort=""
		fi
	fi
}

# build_programs compiles the OpenBLAS peer against the OpenMP flavour, whichever
# flavour is the system's default, and ours, and writes the models.
build_programs() {
	local arch
	arch=$(gcc -print-multiarch)
	openblas=/usr/lib/$arch/openblas-openmp
	gcc -O2 -Wall -I"/usr/include/$arch/openblas-openmp" bench/peers/sgemm.c \
		-L"$openblas" -Wl,-rpath,"$openblas" -lopenblas -o "$scratch/sgemm"
	go build -o "$scratch/ours" ./bench/ours
	go build -o "$scratch/compactify" ./cmd/compactify
	mkdir "$scratch/models"
	if [[ -d $data/models ]]; then
		go run ./bench/models --data "$data" --out "$scratch/models" >/dev/null
	else
		echo "$data is missing: inference is left out" >&2
	fi
}

# model NAME FORM BATCH is the file of a network.
model() { echo "$scratch/models/$1.$2.$3.onnx"; }

# resident COMMAND... runs it and prints its largest resident size in MB.
resident() {
	"$python" -c 'import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6, 1))' "$@"
}

# run_ours KIND ARGUMENT SIZE THREADS prints one number.
run_ours() {
	local kind=$1 argument=$2 size=$3 common=(--threads "$4" --seconds "$seconds") rate
	case $kind in
	sgemm) "$scratch/ours" --work sgemm --size "$size" "${common[@]}" ;;
	train) "$scratch/ours" --work "$argument" --size "$size" "${common[@]}" ;;
	float | int8) "$scratch/ours" --work infer --model "$(model "$argument" "$kind" "$size")" --threads "$4" --seconds "$infer_seconds" ;;
	speedup) run_ours int8 "$argument" "$size" "$4" ;;
	hvp)
		rate=$("$scratch/ours" --work "hvp-$argument" --size "$size" "${common[@]}")
		awk -v r="$rate" 'BEGIN { printf "%.4g\n", 1 / r }'
		;;
	memory)
		resident "$scratch/compactify" train --arch "$argument" --data glyphs --epochs 1 --batch "$size" --threads "$4" --force --out "$scratch/trained"
		;;
	esac
}

# run_peer KIND ARGUMENT SIZE THREADS SECONDS CORE [LAYOUT] prints one number. CORE
# is an OpenBLAS kernel set, or "detected" for its own choice; the library is
# preloaded because PyTorch with Debian's default pthread flavour loses most of its
# speed on two threads.
run_peer() {
	local kind=$1 argument=$2 size=$3 threads=$4 seconds=$5 core=$6 layout=${7-}
	local environment=(OMP_NUM_THREADS="$threads")
	[[ $core == detected ]] || environment+=(OPENBLAS_CORETYPE="$core")
	local torch=(env "${environment[@]}" LD_PRELOAD="$openblas/libopenblas.so.0" "$python" bench/peers/torch_train.py
		--work "$argument" --threads "$threads" --seconds "$seconds" --layout "$layout")
	case $kind in
	sgemm) env "${environment[@]}" "$scratch/sgemm" "$size" "$seconds" ;;
	train) "${torch[@]}" ;;
	memory) resident "${torch[@]}" ;;
	float | int8) "$ort" bench/peers/ort_infer.py --model "$(model "$argument" "$kind" "$size")" --threads "$threads" --seconds "$infer_seconds" ;;
	speedup) run_ours float "$argument" "$size" "$threads" ;;
	hvp) echo 1 ;;
	esac
}

# variants KIND ARGUMENT lists the ways to run a peer, a line each. OpenBLAS 0.3.21
# does not know CPUs newer than itself and runs AVX2 kernels on them; it is offered
# its AVX-512 kernels too. Which memory layout PyTorch is faster with differs from
# network to network.
variants() {
	local cores="detected" core
	if grep -qw avx512f /proc/cpuinfo; then cores+=" SkylakeX"; fi
	case $1 in
	float | int8) echo "onnxruntime" ;;
	speedup) echo "our-float" ;;
	hvp) echo "one-gradient" ;;
	memory) echo "detected contiguous_format" ;;
	*)
		for core in $cores; do
			case $1$2 in
			sgemm*) echo "$core" ;;
			trainmlp) echo "$core contiguous_format" ;;
			train*)
				echo "$core contiguous_format"
				echo "$core channels_last"
				;;
			esac
		done
		;;
	esac
}

# above A B: whether the number A is above B.
above() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a > b) }'; }

# fastest_variant KIND ARGUMENT SIZE THREADS tries every variant of the peer
# briefly, unless there is one only.
fastest_variant() {
	local variant rate best="" best_rate=0
	if (($(variants "$1" "$2" | wc -l) == 1)); then
		variants "$1" "$2"
		return
	fi
	while read -r variant; do
		# shellcheck disable=SC2086 # a variant is one or two words
		rate=$(run_peer "$1" "$2" "$3" "$4" "$(awk -v s="$seconds" 'BEGIN { print s / 2 }')" $variant)
		if above "$rate" "$best_rate"; then best=$variant best_rate=$rate; fi
	done < <(variants "$1" "$2")
	echo "$best"
}

# median reads an odd count of lines.
median() { sort -g | sed -n "$(((repeats + 1) / 2))p"; }

# On a busy machine the barriers of OpenMP threads cost a peer up to 99 % of its
# speed, and a ratio to that would flatter ours. There are two signs of it.
#
# busy: whether other programs use over a tenth of the processors while nothing
# of this script runs.
busy() {
	{
		grep '^cpu ' /proc/stat
		sleep 0.5
		grep '^cpu ' /proc/stat
	} | awk '{ all = 0; for (i = 2; i <= 9; i++) all += $i; idle = $5 + $6 }
		NR == 1 { all0 = all; idle0 = idle }
		END { exit !(idle - idle0 < 0.9 * (all - all0)) }'
}

# noisy reads rates: whether the best is over 1.25 times the median.
noisy() { sort -g | awk -v middle=$(((repeats + 1) / 2)) 'NR == middle { m = $1 } END { exit !($1 > 1.25 * m) }'; }

# limits KIND ARGUMENT SIZE THREADS OURS PEER says what bounds a row from below: the
# time of its multiply-adds at the peak of this run, and of reading its weights
# once at its bandwidth, and which share of that speed either side reaches. An
# 8-bit dot product instruction does four times the work of a float's.
limits() {
	local kind=$1 argument=$2 size=$3 threads=$4 cost factor=1
	case $kind in
	float | int8 | speedup)
		if [[ $kind == speedup ]]; then kind=int8; fi
		if [[ $kind == int8 ]]; then factor=4; fi
		cost=$("$scratch/ours" --work cost --model "$(model "$argument" float "$size")")
		;;
	train) cost=$("$scratch/ours" --work cost --arch "$argument" --size "$size") ;;
	sgemm)
		awk -v o="$5" -v p="$6" -v t="$threads" -v peak="$(cat "$scratch/peak.$threads")" 'BEGIN {
			printf "of %.0f GFLOP/s: ours %.0f %%, peer %.0f %%", peak, 100 * o / peak, 100 * p / peak }'
		return
		;;
	*) return ;;
	esac
	awk -v o="$5" -v p="$6" -v peak="$(cat "$scratch/peak.$threads")" -v band="$(cat "$scratch/band.$threads")" -v f="$factor" \
		-v unit="$([[ $kind == train ]] && echo "$size" || echo 1)" '{
			mac = $1; bytes = $2 / f
			t = 2 * mac / (f * peak * 1e9); u = bytes / (band * 1e9); if (u > t) t = u
			printf "%.3g M multiply-adds, %.3g MB of weights: at least %.3g ms; ours reaches %.0f %%, peer %.0f %%",
				mac / 1e6, bytes / 1e6, 1e3 * t, 100 * t * o / unit, 100 * t * p / unit }' <<<"$cost"
}

# name_of KIND ARGUMENT SIZE THREADS is what a row is called.
name_of() {
	case $1 in
	sgemm) echo "sgemm $3, ${4}T" ;;
	float | int8 | speedup) echo "$2 $1, batch $3, ${4}T" ;;
	*) echo "$1 $2, ${4}T" ;;
	esac
}

# measure KIND ARGUMENT SIZE UNIT GOAL THREADS [TRY] prints a row of the table and
# keeps it for the results file; a noisy one is measured again, twice at most. Ours and the peer take turns, so that a slow moment of
# the machine meets both.
measure() {
	local kind=$1 argument=$2 size=$3 unit=$4 goal=$5 threads=$6 try=${7-1} variant i name ours peer ratio verdict limit="" was_busy=false
	case $kind in
	float | int8)
		if [[ -z $ort || ! -f $(model "$argument" "$kind" "$size") ]]; then return; fi
		;;
	speedup) if [[ ! -f $(model "$argument" int8 "$size") ]]; then return; fi ;;
	esac
	repeats=$usual_repeats
	if [[ $kind =~ ^(float|int8)$ ]] && ((size > 1)); then repeats=$large_repeats; fi
	if busy; then was_busy=true; fi
	variant=$(fastest_variant "$kind" "$argument" "$size" "$threads")
	: >"$scratch/ours.rates" >"$scratch/peer.rates"
	for ((i = 0; i < repeats; i++)); do
		run_ours "$kind" "$argument" "$size" "$threads" >>"$scratch/ours.rates"
		# shellcheck disable=SC2086
		run_peer "$kind" "$argument" "$size" "$threads" "$seconds" $variant >>"$scratch/peer.rates"
	done
	ours=$(median <"$scratch/ours.rates")
	peer=$(median <"$scratch/peer.rates")
	ratio=$(awk -v a="$ours" -v b="$peer" -v less="$([[ $kind == memory ]] && echo 1)" 'BEGIN { printf "%.2f", less ? b / a : a / b }')
	if [[ $kind == sgemm ]]; then
		printf '%s\n%s\n%s\n' "$ours" "$peer" "$(cat "$scratch/peak.$threads" 2>/dev/null || echo 0)" | sort -g | tail -n 1 >"$scratch/peak.new"
		mv "$scratch/peak.new" "$scratch/peak.$threads"
	fi
	verdict=reached
	if above "$goal" "$ratio"; then
		verdict=missed
		limit=$(limits "$kind" "$argument" "$size" "$threads" "$ours" "$peer")
	fi
	if $was_busy || noisy <"$scratch/peer.rates" || noisy <"$scratch/ours.rates"; then
		if ((try < 3)); then
			measure "$kind" "$argument" "$size" "$unit" "$goal" "$threads" $((try + 1))
			return
		fi
		verdict=noisy
		noisy_rows=$((noisy_rows + 1))
	fi
	name=$(name_of "$kind" "$argument" "$size" "$threads")
	printf '%-34s %10s %10s %-18s %6s %5s  %-8s %s%s\n' "$name" "$ours" "$peer" "$unit" "$ratio" "$goal" "$verdict" "$variant" "${limit:+; $limit}"
	printf '%s (%s; %s)\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' \
		"$name" "$unit" "$variant" "$ours" "$peer" "$ratio" "$goal" "$commit" "$verdict" "$limit" "$machine" "$date" >>"$scratch/rows"
}

install_peers
build_programs
commit=$(git rev-parse --short HEAD)
[[ -z $(git status --porcelain --untracked-files=no -- ":!$results") ]] || commit+="-dirty"
machine=$(awk -F': ' '/^model name/ && !m { m = $2 } /^cpu family/ && !f { f = $2 } /^model\t/ && !n { n = $2 }
	END { printf "%s family %s model %s", m, f, n }' /proc/cpuinfo)", $(nproc) CPUs"
date=$(date -u +%Y-%m-%d)

echo "$machine, commit $commit; medians of $repeats runs of $seconds s; inference: of $infer_seconds s, large batches $large_repeats runs"
echo "OpenBLAS detects $("$scratch/sgemm" --core); load $(cut -d' ' -f1-3 /proc/loadavg)"
printf '%-34s %10s %10s %-18s %6s %5s  %-8s %s\n' work ours peer unit ratio goal "" "fastest peer; limit of what missed"
noisy_rows=0
for threads in 1 2; do
	if ((threads > $(nproc))); then continue; fi
	"$scratch/ours" --work bandwidth --threads "$threads" --seconds 1 >"$scratch/band.$threads"
	if [[ -n $only ]]; then run_ours sgemm - 2048 "$threads" >"$scratch/peak.$threads"; fi
	while read -r kind argument size unit goal; do
		if [[ -n $only && ! $(name_of "$kind" "$argument" "$size" "$threads") =~ $only ]]; then continue; fi
		measure "$kind" "$argument" "$size" "$unit" "$goal" "$threads" </dev/null
	done < <(rows "$threads")
done

((noisy_rows == 0)) || die "the machine is busy: $noisy_rows rows are noisy and say nothing; run again when it is quiet"
if [[ -n $only ]]; then
	# Rows measured now take the places of those of the same name.
	[[ -s $scratch/rows ]] || die "--only '$only': no row has such a name"
	awk -F'\t' 'function name(s) { sub(/ \(.*/, "", s); return s }
		NR == FNR { row[name($1)] = $0; next }
		{ n = name($1); print (n in row) ? row[n] : $0; delete row[n] }
		END { for (n in row) print row[n] }' "$scratch/rows" "$results" >"$scratch/results"
	cp "$scratch/results" "$results"
	echo "written: $results"
elif ! $quick; then
	printf 'work\tours\tpeer\tratio\tgoal\tcommit\tverdict\tlimit\tmachine\tdate\n' | cat - "$scratch/rows" >"$results"
	echo "written: $results"
fi

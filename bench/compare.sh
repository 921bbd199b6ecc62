#!/usr/bin/env bash
# bench/compare.sh [--quick]: our speed beside OpenBLAS's and PyTorch's, measured
# in one run on one machine. README.md beside it says what is measured and how to
# read the table. Installs the peers from Debian where they are missing (as root).
set -euo pipefail
shopt -s inherit_errexit

cd "$(dirname "${BASH_SOURCE[0]}")/.."
command -v go >/dev/null || export PATH=$PATH:/usr/local/go/bin

repeats=5 # odd, for the median
seconds=2
sizes="512 1024 2048"
quick=false
case "${1-}" in
"") ;;
--quick) quick=true repeats=3 seconds=0.5 sizes=1024 ;;
*)
	echo "usage: bench/compare.sh [--quick]" >&2
	exit 2
	;;
esac

# The least ratio ours/peer that each kind of work should reach.
declare -A goals=([sgemm]=0.95 [mlp]=1.3 [lenet5]=1.3 [lenet5-caffe]=1.3)

readonly results=bench/results.tsv
readonly python=/usr/bin/python3 # Debian's: the one that has python3-torch
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

die() {
	printf 'bench/compare.sh: error: %s\n' "$*" >&2
	exit 1
}

install_peers() {
	local packages=(gcc libc6-dev libopenblas-openmp-dev libopenblas0-openmp python3-torch) missing=() p
	for p in "${packages[@]}"; do
		[[ $(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null) == installed ]] || missing+=("$p")
	done
	((${#missing[@]} > 0)) || return 0
	((EUID == 0)) || die "peers are missing; install them: apt-get install ${missing[*]}"
	echo "installing ${missing[*]}" >&2
	apt-get -qq update
	DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null
}

# build_programs compiles the OpenBLAS peer against the OpenMP flavour, whichever
# flavour is the system's default, and ours, if it is there.
build_programs() {
	local arch
	arch=$(gcc -print-multiarch)
	openblas=/usr/lib/$arch/openblas-openmp
	gcc -O2 -Wall -I"/usr/include/$arch/openblas-openmp" bench/peers/sgemm.c \
		-L"$openblas" -Wl,-rpath,"$openblas" -lopenblas -o "$scratch/sgemm"
	ours=""
	if [[ -d bench/ours ]]; then
		go build -o "$scratch/ours" ./bench/ours
		ours=$scratch/ours
	else
		echo "bench/ours is missing: only the peers are measured" >&2
	fi
}

# run_ours WORK SIZE THREADS SECONDS prints one number, or "-" without bench/ours.
run_ours() {
	if [[ -z $ours ]]; then
		echo -
		return
	fi
	"$ours" --work "$1" --size "$2" --threads "$3" --seconds "$4"
}

# run_peer WORK SIZE THREADS SECONDS CORE [LAYOUT] prints one number. CORE is an
# OpenBLAS kernel set, or "detected" for its own choice; the library is preloaded
# because PyTorch with Debian's default pthread flavour loses most of its speed
# on two threads.
run_peer() {
	local work=$1 size=$2 threads=$3 seconds=$4 core=$5 layout=${6-}
	local environment=(OMP_NUM_THREADS="$threads")
	[[ $core == detected ]] || environment+=(OPENBLAS_CORETYPE="$core")
	case $work in
	sgemm) env "${environment[@]}" "$scratch/sgemm" "$size" "$seconds" ;;
	*)
		env "${environment[@]}" LD_PRELOAD="$openblas/libopenblas.so.0" "$python" bench/peers/torch_train.py \
			--work "$work" --threads "$threads" --seconds "$seconds" --layout "$layout"
		;;
	esac
}

# variants WORK lists the ways to run a peer, a line each. OpenBLAS 0.3.21 does
# not know CPUs newer than itself and runs AVX2 kernels on them; it is offered
# its AVX-512 kernels too. Which memory layout PyTorch is faster with differs
# from network to network.
variants() {
	local cores="detected" core
	if grep -qw avx512f /proc/cpuinfo; then cores+=" SkylakeX"; fi
	for core in $cores; do
		case $1 in
		sgemm) echo "$core" ;;
		mlp) echo "$core contiguous_format" ;;
		*)
			echo "$core contiguous_format"
			echo "$core channels_last"
			;;
		esac
	done
}

# greater A B: whether the number A is above B.
greater() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a > b) }'; }

# fastest_variant WORK SIZE THREADS tries every variant of the peer briefly.
fastest_variant() {
	local variant rate best="" best_rate=0
	while read -r variant; do
		# shellcheck disable=SC2086 # a variant is one or two words
		rate=$(run_peer "$1" "$2" "$3" "$seconds" $variant)
		if greater "$rate" "$best_rate"; then best=$variant best_rate=$rate; fi
	done < <(variants "$1")
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

# measure WORK SIZE THREADS UNIT prints a row of the table and keeps it for the
# results file. Ours and the peer take turns, so that a slow moment of the
# machine meets both.
measure() {
	local work=$1 size=$2 threads=$3 unit=$4 variant i name ours_rate peer_rate ratio="-" verdict="" was_busy=false
	if busy; then was_busy=true; fi
	variant=$(fastest_variant "$work" "$size" "$threads")
	: >"$scratch/ours.rates" >"$scratch/peer.rates"
	for ((i = 0; i < repeats; i++)); do
		run_ours "$work" "$size" "$threads" "$seconds" >>"$scratch/ours.rates"
		# shellcheck disable=SC2086
		run_peer "$work" "$size" "$threads" "$seconds" $variant >>"$scratch/peer.rates"
	done
	ours_rate=$(median <"$scratch/ours.rates")
	peer_rate=$(median <"$scratch/peer.rates")
	if [[ -n $ours ]]; then
		ratio=$(awk -v a="$ours_rate" -v b="$peer_rate" 'BEGIN { printf "%.2f", a / b }')
		verdict=reached
		if greater "${goals[$work]}" "$ratio"; then verdict=missed; fi
	fi
	if $was_busy || noisy <"$scratch/peer.rates" || noisy <"$scratch/ours.rates"; then
		verdict=noisy
		noisy_rows=$((noisy_rows + 1))
	fi
	name="$work, ${threads}T"
	if [[ $work == sgemm ]]; then name="$work $size, ${threads}T"; fi
	printf '%-20s %10s %10s %-7s %6s %5s  %-8s %s\n' \
		"$name" "$ours_rate" "$peer_rate" "$unit" "$ratio" "${goals[$work]}" "$verdict" "$variant"
	printf '%s (%s; %s)\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' \
		"$name" "$unit" "$variant" "$ours_rate" "$peer_rate" "$ratio" "${goals[$work]}" "$commit" "$machine" "$date" >>"$scratch/rows"
}

install_peers
build_programs
commit=$(git rev-parse --short HEAD)
[[ -z $(git status --porcelain --untracked-files=no -- ":!$results") ]] || commit+="-dirty"
machine=$(awk -F': ' '/^model name/ && !m { m = $2 } /^cpu family/ && !f { f = $2 } /^model\t/ && !n { n = $2 }
	END { printf "%s family %s model %s", m, f, n }' /proc/cpuinfo)", $(nproc) CPUs"
date=$(date -u +%Y-%m-%d)

echo "$machine, commit $commit; medians of $repeats runs of $seconds s"
echo "OpenBLAS detects $("$scratch/sgemm" --core); load $(cut -d' ' -f1-3 /proc/loadavg)"
printf '%-20s %10s %10s %-7s %6s %5s  %-8s %s\n' work ours peer unit ratio goal "" "fastest peer"
noisy_rows=0
for threads in 1 2; do
	if ((threads > $(nproc))); then continue; fi
	for size in $sizes; do measure sgemm "$size" "$threads" GFLOP/s; done
	for work in mlp lenet5 lenet5-caffe; do measure "$work" 128 "$threads" img/s; done
done

((noisy_rows == 0)) || die "the machine is busy: $noisy_rows rows are noisy and say nothing; run again when it is quiet"
if [[ -n $ours ]] && ! $quick; then
	printf 'work\tours\tpeer\tratio\tgoal\tcommit\tmachine\tdate\n' | cat - "$scratch/rows" >"$results"
	echo "written: $results"
fi

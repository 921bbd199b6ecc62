#!/usr/bin/env bash
# bench/linear.sh [--quick]: paths of penalised linear models, 100 lambda on one thread, by
# ours, glmnet and scikit-learn on the same data and the same lambda, and how far ours and
# glmnet agree on glmnet's own examples. README.md beside it says what the rows are. Writes
# bench/linear.tsv. Installs the peers from Debian (as root) where they are missing.
set -euo pipefail
shopt -s inherit_errexit

cd "$(dirname "${BASH_SOURCE[0]}")/.."
command -v go >/dev/null || export PATH=$PATH:/usr/local/go/bin

quick=""
case "${1-} $#" in
" 0") ;;
"--quick 1") quick=--quick ;;
*)
	echo "usage: bench/linear.sh [--quick]" >&2
	exit 2
	;;
esac

readonly repeats=3 inner=3 # processes of each program, in turn; fits in each, of which the median counts
readonly enough=1e-6 results=bench/linear.tsv data=../shared/data python=/usr/bin/python3
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export PEERS_DIR=$scratch OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1

die() {
	printf 'bench/linear.sh: error: %s\n' "$*" >&2
	exit 1
}

install_peers() {
	local packages=(r-cran-glmnet python3-sklearn) missing=() p
	for p in "${packages[@]}"; do
		[[ $(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null) == installed ]] || missing+=("$p")
	done
	if ((${#missing[@]} > 0)); then
		((EUID == 0)) || die "peers are missing; install them: apt-get install ${missing[*]}"
		echo "installing ${missing[*]}" >&2
		apt-get -qq update
		DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null
	fi
}

[[ -d $data/tabular ]] || die "$data/tabular is missing"
install_peers
go build -o "$scratch/ours" ./bench/ours

alone() { taskset -c "$(($(nproc --all) - 1))" "$@"; }

# run PROGRAM SETTING REPEATS WORK prints seconds and megabytes. WORK is "tag n p family
# alpha standardize" and goes unquoted.
run() {
	local program=$1 setting=$2 times=$3
	shift 3
	# shellcheck disable=SC2048
	case $program in
	ours) alone "$scratch/ours" linear $* "$setting" "$times" | cut -d' ' -f1,2 ;;
	glmnet) alone Rscript bench/peers/glmnet_path.R $* "$setting" "$times" ;;
	sklearn) alone "$python" bench/peers/sklearn_path.py $* "$setting" "$times" ;;
	esac
}

# gap PROGRAM WORK prints the worst gap relative to the null objective and to its own.
gap() {
	local program=$1
	shift
	# shellcheck disable=SC2048
	"$python" bench/peers/linear_gap.py $* "$program"
}

# tightened PROGRAM WORK prints the first of ever smaller tolerances with a gap that is
# small enough, or the last one.
tightened() {
	local program=$1 power worst
	shift
	for power in $(seq $([[ $program == glmnet ]] && echo 8 20 || echo 5 10)); do
		run "$program" "1e-$power" 1 "$*" >/dev/null
		read -r worst _ < <(gap "$program" "$*")
		if awk -v g="$worst" -v e="$enough" 'BEGIN { exit !(g <= e) }'; then break; fi
	done
	echo "1e-$power"
}

median() { sort -g | awk '{ x[NR] = $1 } END { print x[int((NR + 1) / 2)] }'; }

# compare WORK SETTINGS...: every PROGRAM=TOLERANCE in turn; puts "seconds MB gap gap_own"
# of each into $scratch/PROGRAM=TOLERANCE.figures. The first process fits once; the others
# fit several times if that took less than a second, and are left out if it took over ten.
compare() {
	local work=$1 each i times first
	shift
	rm -f "$scratch"/*.runs
	for ((i = 0; i < repeats; i++)); do
		for each; do
			times=1
			if ((i > 0)); then
				read -r first _ <"$scratch/$each.runs"
				times=$(awk -v s="$first" -v n="$inner" 'BEGIN { print (s > 10 ? 0 : s > 1 ? 1 : n) }')
			fi
			if ((times == 0)); then continue; fi
			run "${each%=*}" "${each#*=}" "$times" "$work" >>"$scratch/$each.runs"
			if ((i == 0)); then gap "${each%=*}" "$work" >"$scratch/$each.gap"; fi
		done
	done
	for each; do
		echo "$(cut -d' ' -f1 "$scratch/$each.runs" | median) $(cut -d' ' -f2 "$scratch/$each.runs" | median) $(cat "$scratch/$each.gap")" >"$scratch/$each.figures"
	done
}

# figure SETTING COLUMN
figure() { cut -d' ' -f"$2" "$scratch/$1.figures"; }

quotient() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }

# verdict RATIO GOAL [at-most]
verdict() {
	if [[ -z $2 ]]; then return; fi
	awk -v r="$1" -v g="$2" -v most="${3-}" 'BEGIN { print ((most != "" ? r <= g : r >= g) ? "reached" : "missed") }'
}

# row WORK PROGRAM SECONDS MB GAP GAP_OWN RATIO GOAL VERDICT
row() {
	local IFS=$'\t'
	echo "$*$IFS$commit$IFS$machine$IFS$(cut -d' ' -f1 /proc/loadavg)" | tee -a "$scratch/rows"
}

# goals of WORK: against glmnet as it comes, glmnet tightened, scikit-learn tightened.
goals() {
	case $1-$2 in
	a-1 | b-1 | l-1) echo "- 5 -" ;;
	a-0.5) echo "- 2 -" ;;
	b-0.5) echo "- 1.3 -" ;;
	c-1) echo "- - 1.1" ;;
	*) echo "2 - -" ;;
	esac
}

# measure TAG N P FAMILY ALPHA STANDARDIZE BYTES prints the rows of one problem.
measure() {
	local work="$1 $2 $3 $4 $5 $6" kind=lasso name settings glmnet sklearn="" goal_default goal_tight goal_sklearn ours tight ratio most=""
	[[ $5 == 1 ]] || kind="elastic net $5"
	[[ $4 == gaussian ]] || kind="logistic $kind"
	name="$kind $2x$3"
	[[ $6 == 0 ]] || name="$name $1"
	read -r goal_default goal_tight goal_sklearn < <(goals "$1" "$5")
	glmnet=$(tightened glmnet "$work")
	settings=("ours=$enough" "ours=1e-10" "glmnet=1e-7" "glmnet=$glmnet")
	if [[ $6 == 0 && $4 == gaussian ]]; then
		sklearn=1e-6
		if [[ $goal_sklearn != - ]]; then sklearn=$(tightened sklearn "$work"); fi
		settings+=(sklearn=1e-4 "sklearn=$sklearn")
	fi
	compare "$work" "${settings[@]}"
	ours=$(figure "ours=$enough" 1) tight=$(figure "glmnet=$glmnet" 1)
	ratio=$(quotient "$(figure "ours=$enough" 2)e6" "$7")
	if [[ $6 == 0 ]]; then most=1.3; fi
	row "$name, memory over data" "ours gap=$enough" "" "$(figure "ours=$enough" 2)" "" "" "$ratio" "$most" "$(verdict "$ratio" "$most" at-most)"
	local each
	for each in "${settings[@]}"; do
		peer "$each"
	done
	if [[ $6 == 0 && $4 == binomial ]]; then liblinear; fi
}

# peer SETTING is one row of measure, whose variables it reads.
peer() {
	local goal="" ratio="" setting=$1
	case $setting in
	"ours=$enough") ;;
	ours=*) ratio=$(quotient "$tight" "$(figure "$setting" 1)") goal=1 ;;
	glmnet=1e-7) goal=$goal_default ;;
	glmnet=*) goal=$goal_tight ;;
	"sklearn=$sklearn") goal=$goal_sklearn ;;
	esac
	if [[ $setting != ours=* ]]; then ratio=$(quotient "$(figure "$setting" 1)" "$ours"); fi
	goal=${goal#-}
	# shellcheck disable=SC2046
	row "$name" "${setting/=/ }" "$(figure "$setting" 1)" "$(figure "$setting" 2)" "$(figure "$setting" 3)" "$(figure "$setting" 4)" "$ratio" "$goal" "$(verdict "$ratio" "$goal")"
}

# liblinear is run once: without a path it takes long.
liblinear() {
	local figures
	figures=$(run sklearn 1e-4 1 "$work")
	echo "$figures $(gap sklearn "$work")" >"$scratch/sklearn=1e-4.figures"
	peer sklearn=1e-4
}

# agree prints how far coefficients of ours and glmnet's are apart.
agree() {
	local tag n p family alpha standardize
	while read -r tag n p family alpha standardize; do
		alone "$scratch/ours" linear "$tag" "$n" "$p" "$family" "$alpha" "$standardize" 1e-13 1 glmnet >/dev/null
		difference=$("$python" bench/peers/linear_agree.py "$tag" "$n" "$p" "$family" "$alpha")
		row "${tag%[12]} ${n}x$p ${family%:*}, alpha $alpha$([[ $standardize == 1 ]] && echo ", standardised"): coefficients" "glmnet 1e-20" "" "" "" "" "$difference" 1e-6 "$(verdict "$difference" 1e-6 at-most)"
	done < <(Rscript bench/peers/glmnet_agree.R "$data")
}

commit=$(git rev-parse --short HEAD)
machine="$(awk -F': ' '/^model name/ && !m { m = $2 } /^cpu family/ && !f { f = $2 } /^model\t/ && !n { n = $2 }
	END { printf "%s family %s model %s", m, f, n }' /proc/cpuinfo), $(nproc --all) CPUs"
printf 'work\tprogram\tseconds\tMB\tgap\tgap_own\tratio\tgoal\tverdict\tcommit\tmachine\tload\n' | tee "$scratch/rows"
"$python" bench/peers/linear_data.py "$data" $quick >"$scratch/problems"
while read -r -u 3 line; do
	# shellcheck disable=SC2086
	measure $line
done 3<"$scratch/problems"
agree
if [[ -n $quick ]]; then exit; fi
mv "$scratch/rows" "$results"
echo "written: $results"

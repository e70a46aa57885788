#!/bin/sh
# test.sh BUILD PROGRAM...: runs the unit tests and then the end-to-end tests
# of one build, and prints one closing line for all of them.
#
# QUICK=1 leaves out the long end-to-end tests; E2E_ARGS goes to run.py.
set -u

build=$1
shift
cd "$(dirname "$0")/../.." || exit 1
logs=$build/e2e
mkdir -p "$logs"

run=
case $build in
*thread*)
	# ThreadSanitizer of older compilers cannot live with all the
	# randomness of newer kernels' address spaces.
	setarch "$(uname -m)" -R true 2>/dev/null &&
		run="setarch $(uname -m) -R"
	: "${E2E_SLOW:=4}"
	;;
*address*)
	: "${E2E_SLOW:=3}"
	;;
esac
# A machine that does nothing but test is often shared, and slow.
export E2E_SLOW="${E2E_SLOW:-${CI:+2}}"
: "${E2E_SLOW:=1}"

# count WORDS LOG: the number in cmocka's line that starts with these words.
count()
{
	sed -n "s/^\[ *$1 *\] \([0-9][0-9]*\) test(s).*/\1/p" "$2" |
		awk '{ n += $1 } END { print n + 0 }'
}

# unit PROGRAM: its verdict, and what it counted in a file.
unit()
{
	log=$logs/unit-$(basename "$1").log
	timeout 300 $run "$1" >"$log" 2>&1 </dev/null
	code=$?
	good=$(count PASSED "$log") bad=$(count FAILED "$log")
	# One that died before it could count failed, too.
	[ "$code" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
	echo "$good $bad $(count SKIPPED "$log")" >"$log.count"
	if [ "$bad" -eq 0 ]; then
		printf 'ok    unit %-42s %4d tests\n' \
			"$(basename "$1")" "$good"
	else
		printf 'FAIL  unit %s (exit %d)\n%s\n' \
			"$(basename "$1")" "$code" \
			"$(grep -v '\[ *\(RUN\|OK\) *\]' "$log" | tail -n 60)"
	fi
}

# As many at a time as there are processors.
if [ "${1-}" = --unit ]; then
	unit "$2"
	exit
fi
rm -f "$logs"/unit-*.count
printf '%s\n' "$@" | xargs -P "$(nproc)" -n 1 \
	sh test/support/test.sh "$build" --unit
# One that left no count failed as well.
counts=$(cat "$logs"/unit-*.count | awk -v programs=$# '
	{ p += $1; f += $2; s += $3 }
	END { print p "," f + programs - NR "," s }')

quick=
[ -z "${QUICK:-}" ] || quick=--quick
# shellcheck disable=SC2086
BTGET=$build/btget exec $run python3 test/e2e/run.py $quick \
	--add "$counts" ${E2E_ARGS:-}

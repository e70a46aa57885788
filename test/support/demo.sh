#!/bin/sh
# demo.sh BTGET: shows btget at work, on this machine alone.
#
# A sample of 100 MiB in several files, a tracker and a seeder of our own on
# the loopback, a download with its bars, and a comparison at the end. All is
# in a folder that is removed again.
set -eu

btget=$1
base=${TMPDIR:-/tmp}
shm_kib=$(df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 { print $4 }')
[ -w /dev/shm ] && [ -z "${TMPDIR:-}" ] && [ "${shm_kib:-0}" -gt 300000 ] &&
	base=/dev/shm
dir=$(mktemp -d "$base/btget-demo.XXXXXX")
pids=

finish()
{
	for pid in $pids; do
		kill "$pid" 2>/dev/null || true
	done
	for pid in $pids; do
		wait "$pid" 2>/dev/null || true
	done
	rm -rf "$dir"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Nothing leaves this machine.
offline="--no-dht --no-lsd --no-portmap --no-pex --no-utp"

say()
{
	printf '\n%s\n' "$*"
}

listens()
{
	cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
		grep -qi ":$(printf %04X "$1") 0*:0000 0A"
}

port=6969
while listens $port; do
	port=$((port + 1))
done

say "Making a sample of 100 MiB in several files ..."
mkdir -p "$dir/seed/sample/extras"
head -c 62914560 /dev/urandom >"$dir/seed/sample/film.mkv"
head -c 31457280 /dev/urandom >"$dir/seed/sample/extras/sound.flac"
head -c 10485761 /dev/urandom >"$dir/seed/sample/extras/cover.png"
echo "Read me first." >"$dir/seed/sample/README"
: >"$dir/seed/sample/empty"

say "\$ btget create --announce http://127.0.0.1:$port/announce sample"
"$btget" create -a "http://127.0.0.1:$port/announce" \
	-o "$dir/sample.torrent" "$dir/seed/sample"
"$btget" show "$dir/sample.torrent"

say "\$ btget tracker --bind 127.0.0.1 --port $port &"
"$btget" tracker --bind 127.0.0.1 --port "$port" --interval 5 \
	>"$dir/tracker.log" 2>&1 &
pids="$pids $!"
tries=0
until listens "$port"; do
	tries=$((tries + 1))
	[ $tries -lt 50 ] || { cat "$dir/tracker.log" >&2; exit 1; }
	sleep 0.1
done

say "\$ btget --seed-time 5m sample.torrent &"
# shellcheck disable=SC2086
"$btget" $offline -q -p 0 -d "$dir/seed" --seed-time 5m \
	"$dir/sample.torrent" >"$dir/seed.log" 2>&1 &
pids="$pids $!"
# The seeder announces itself within a moment; a leech that came first would
# only ask again after the interval.
sleep 1

say "\$ btget -d got --down-limit 16M sample.torrent"
# shellcheck disable=SC2086
"$btget" $offline -p 0 -d "$dir/got" --down-limit 16M --deadline 50s \
	"$dir/sample.torrent"

diff -r "$dir/seed/sample" "$dir/got/sample"
say "The copy is the same, byte for byte."

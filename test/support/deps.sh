#!/bin/sh
# deps.sh MODE...: installs what is missing to build, test, demo or lint.
#
# Only what is absent is installed, and it is said first. Where there is no
# apt-get, or no right to use it, the plain list is printed and it ends with
# 1. MODE: build, demo (as build), test (build and the clients of the tests),
# bench (build and the rivals), lint (build, and the tools of make lint and make
# fuzz).
set -eu

missing=

# need PACKAGE COMMAND...: the package is missing if the command fails.
need()
{
	package=$1
	shift
	case " $missing " in
	*" $package "*) return ;;
	esac
	"$@" >/dev/null 2>&1 || missing="$missing $package"
}

have()
{
	PATH=$PATH:/usr/sbin:/sbin command -v "$1"
}

# clang's own run-time library, which libFuzzer and its sanitizers are part of.
have_fuzzer()
{
	have clang && test -e "$(clang --print-runtime-dir \
		2>/dev/null)/libclang_rt.fuzzer-$(uname -m).a"
}

clang_version=$(clang -dumpversion 2>/dev/null | cut -d. -f1)
need gcc have cc
need libc6-dev test -e /usr/include/stdio.h
need make have make
need pkg-config have pkg-config
need libcurl4-openssl-dev pkg-config --exists libcurl
need libssl-dev pkg-config --exists libcrypto

for mode in "$@"; do
	case $mode in
	build | demo)
		;;
	test)
		need libcmocka-dev pkg-config --exists cmocka
		need python3 test -x /usr/bin/python3
		need python3-libtorrent /usr/bin/python3 -c 'import libtorrent'
		need aria2 have aria2c
		need transmission-daemon have transmission-daemon
		need opentracker have opentracker
		need rtorrent have rtorrent
		need ctorrent have ctorrent
		need qbittorrent-nox have qbittorrent-nox
		need nginx have nginx
		need iproute2 have ip
		need nftables have nft
		need util-linux have unshare
		need procps have pkill
		need mount have mount
		need strace have strace
		need btrfs-progs have mkfs.btrfs
		;;
	bench)
		need python3 test -x /usr/bin/python3
		need python3-libtorrent /usr/bin/python3 -c 'import libtorrent'
		need aria2 have aria2c
		need transmission-daemon have transmission-daemon
		need rtorrent have rtorrent
		need mktorrent have mktorrent
		need iproute2 have ip
		need util-linux have unshare
		;;
	lint)
		need libcmocka-dev pkg-config --exists cmocka
		need python3 have python3
		need clang have clang
		need "libclang-rt-${clang_version:-14}-dev" have_fuzzer
		need clang-tidy have clang-tidy
		need cppcheck have cppcheck
		;;
	*)
		echo "usage: deps.sh build|test|demo|bench|lint..." >&2
		exit 2
		;;
	esac
done

[ -n "$missing" ] || exit 0

give_up()
{
	echo "$1; please install:" >&2
	for package in $missing; do
		echo "  $package" >&2
	done
	exit 1
}

have apt-get >/dev/null || give_up "there is no apt-get here"
sudo=
if [ "$(id -u)" -ne 0 ]; then
	have sudo >/dev/null || give_up "installing needs root"
	[ -t 0 ] || sudo -n true 2>/dev/null ||
		give_up "installing needs root, and sudo asks for a password"
	sudo=sudo
fi

echo "installing with apt-get:$missing"
apt()
{
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
		-o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "$@" </dev/null
}
apt update
# shellcheck disable=SC2086
apt install --no-install-recommends $missing

# The packages of some clients start a service; the tests need none.
if [ -d /run/systemd/system ]; then
	for service in transmission-daemon opentracker; do
		case " $missing " in
		*" $service "*)
			echo "stopping the service $service"
			$sudo systemctl disable --now "$service" || true
			;;
		esac
	done
fi

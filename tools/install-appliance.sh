#!/usr/bin/env bash
# Installs the appliance's files, those of config/install.txt, below a folder.
#
#     tools/install-appliance.sh ROOT BOARD [PROGRAM]
#     tools/install-appliance.sh --list BOARD
#
# ROOT     becomes the root of a file system: an image's, a package's, a virtual machine's
# BOARD    which board's outputs the factory configuration has: a config/factory/output-BOARD.toml
# PROGRAM  the program, to /usr/bin/andon; without it that is left to the caller
# --list   prints what would be installed, one path a line, sorted
#
# The Yocto recipe and the virtual machine of the tests call this, so that what is tested is what is shipped.

set -euo pipefail

tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

die() {
	printf 'install-appliance: %s\n' "$*" >&2
	exit 1
}

if [ $# -lt 2 ] || [ $# -gt 3 ]; then die 'arguments: ROOT BOARD [PROGRAM], or --list BOARD'; fi
root=$1 board=$2 program=${3:-}
if [ ! -e "$tree/config/factory/output-$board.toml" ]; then
	die "there is no config/factory/output-$board.toml; boards: $(cd "$tree/config/factory" &&
		for file in output-*.toml; do file=${file#output-} && printf '%s ' "${file%.toml}"; done)"
fi

# put MODE DESTINATION SOURCE...: one file out of one or several.
put() {
	local mode=$1 destination=$2
	shift 2
	if [ "$root" = --list ]; then
		echo "$destination"
		return
	fi
	install -d -m 0755 "$root$(dirname "$destination")"
	cat "$@" >"$root$destination"
	chmod "$mode" "$root$destination"
}

install_all() {
	local mode sources destination file files
	while read -r mode sources destination; do
		case $mode in '' | '#'*) continue ;; esac
		sources=${sources//@BOARD@/$board}
		case $destination in
		*/)
			for file in "$tree/"$sources; do
				[ -e "$file" ] || die "config/install.txt names $sources, and there is no such file"
				put "$mode" "$destination${file##*/}" "$file"
			done
			;;
		*)
			files=()
			while read -r -d + file || [ -n "$file" ]; do
				[ -e "$tree/$file" ] || die "config/install.txt names $file, and there is no such file"
				files+=("$tree/$file")
			done <<<"$sources"
			put "$mode" "$destination" "${files[@]}"
			;;
		esac
	done <"$tree/config/install.txt"
	if [ "$root" = --list ]; then
		echo /usr/bin/andon
	elif [ -n "$program" ]; then
		install -D -m 0755 "$program" "$root/usr/bin/andon"
	fi
}

if [ "$root" = --list ]; then
	install_all | LC_ALL=C sort
else
	install_all
fi

#!/usr/bin/env bash
# Fetches pinned files of Debian into a folder.
#
#     tools/fetch.sh WHO FOLDER <LIST
#
# WHO begins every message. LIST has a file on each line, `SHA256 PATH`, where PATH is below the root of any Debian mirror.
# What lies in FOLDER already with the right sum is not fetched again. Returns 1, and has said why, when a file cannot be
# had or is not what its sum says. Environment:
#
#     ANDON_DEBIAN_MIRROR    base URLs of Debian mirrors or of a day of Debian's snapshot archive, separated by blanks and
#                            asked in this order; default: the mirror that apt is configured with

set -euo pipefail

who=$1 folder=$2

say() { printf '%s: %s\n' "$who" "$*"; }

# Where to ask, one URL a line: apt's own configuration says it, the security archive and other vendors' aside.
debian_mirrors() {
	if [ -n "${ANDON_DEBIAN_MIRROR:-}" ]; then
		tr -s ' ' '\n' <<<"$ANDON_DEBIAN_MIRROR" | sed '/^$/d; s:/$::'
	elif command -v apt-get >/dev/null; then
		# shellcheck disable=SC2016 # $(...) is apt's format, not the shell's
		apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' 'Created-By: Packages' |
			awk '$1 == "Debian" && $2 == "Debian" { sub("/$", "", $3); print $3; exit }'
	fi
}

# fetch URL FILE: apt's own downloader where there is one, because it knows the machine's proxies.
fetch() {
	local helper=/usr/lib/apt/apt-helper messages
	if [ -x "$helper" ]; then
		messages=$("$helper" -o APT::Sandbox::User=root -o Acquire::Retries=3 download-file "$1" "$2" 2>&1) || {
			grep '^E:' <<<"$messages" >&2
			return 1
		}
	else
		curl --fail --silent --show-error --location --retry 3 --output "$2" "$1"
	fi
}

has_sum() { echo "$1  $2" | sha256sum --check --status 2>/dev/null; }

# fetch_pinned PATH SUM FILE: from the first mirror that has it. Returns non-zero, and has said why, when none has.
fetch_pinned() {
	local mirror
	for mirror in "${mirrors[@]}"; do
		say "fetching ${1##*/}"
		if ! fetch "$mirror/$1" "$3.part"; then
			say "$mirror/$1 cannot be had" >&2
		elif ! has_sum "$2" "$3.part"; then
			say "$mirror/$1 is not the file that is pinned" >&2
		else
			mv "$3.part" "$3"
			return
		fi
		rm -f "$3.part"
	done
	return 1
}

mirrors=()
mkdir -p "$folder"
while read -r sum path; do
	file=$folder/${path##*/}
	if [ -e "$file" ] && has_sum "$sum" "$file"; then continue; fi
	if [ ${#mirrors[@]} = 0 ]; then
		mapfile -t mirrors < <(debian_mirrors)
		if [ ${#mirrors[@]} = 0 ]; then
			say "apt names no Debian mirror: run 'apt-get update', or set ANDON_DEBIAN_MIRROR" >&2
			exit 1
		fi
	fi
	fetch_pinned "$path" "$sum" "$file" </dev/null || exit 1
done

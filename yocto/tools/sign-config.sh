#!/usr/bin/env bash
# Signs a configuration for a stick:
#
#     yocto/tools/sign-config.sh FOLDER IMPORT.KEY.PEM [SEQUENCE]
#
# FOLDER holds what a box is to get: keepout.toml, andon.toml, camera_reference.png, any of them. This adds
#
#     andon-config.txt   what is signed: a sequence number, and the name and SHA-256 of each file
#     andon-config.sig   the signature (Ed25519, 64 bytes)
#
# A box takes a sequence number only when it is higher than the last one it took, so that an old stick cannot bring old zones
# back. Default: seconds since 1970. Copy the folder's files to the top of a stick whose file system is called ANDONCONFIG.

set -euo pipefail

die() {
	printf 'sign-config: %s\n' "$*" >&2
	exit 1
}

if [ $# -lt 2 ] || [ $# -gt 3 ]; then die 'arguments: FOLDER IMPORT.KEY.PEM [SEQUENCE]'; fi
folder=$1 key=$2 sequence=${3:-$(date +%s)}
[[ $sequence =~ ^[1-9][0-9]{0,17}$ ]] || die "$sequence is no sequence number"
[ -r "$key" ] || die "$key cannot be read"

manifest=$folder/andon-config.txt
{
	echo "andon-config 1"
	echo "sequence $sequence"
	found=0
	for name in andon.toml camera_reference.png keepout.toml; do
		[ -e "$folder/$name" ] || continue
		echo "file $(sha256sum <"$folder/$name" | cut -d' ' -f1) $name"
		found=$((found + 1))
	done
	[ "$found" -gt 0 ] || die "$folder has neither andon.toml nor keepout.toml nor camera_reference.png"
} >"$manifest"
openssl pkeyutl -sign -rawin -inkey "$key" -in "$manifest" -out "$folder/andon-config.sig"
echo "signed as number $sequence: $(sed -n 's/^file [0-9a-f]* //p' "$manifest" | tr '\n' ' ')"

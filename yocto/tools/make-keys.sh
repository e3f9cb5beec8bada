#!/usr/bin/env bash
# Makes the keys that an image and its updates need, once per installation (a customer, a plant):
#
#     yocto/tools/make-keys.sh [FOLDER]        default: andon-keys in the folder that kas builds below
#
# FOLDER must be outside of the repository. Whoever has the files ending in .key.pem can put software and zones onto every box
# built with these keys: keep them like the key to the switch cabinet. The other files go into the image.
#
# These are development keys: one certificate authority, no expiry worth the name, no hardware token. For a product use your
# own authority and give its certificates the same names.
#
# | file | what |
# |---|---|
# | update-ca.key.pem, update-ca.cert.pem | the authority; its certificate is in the image |
# | update-signing.key.pem, update-signing.cert.pem | sign update bundles |
# | import.key.pem, import.pub | sign configurations for sticks (yocto/tools/sign-config.sh); import.pub is in the image |

set -euo pipefail

tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
folder=${1:-$PWD/andon-keys}

die() {
	printf 'make-keys: %s\n' "$*" >&2
	exit 1
}

command -v openssl >/dev/null || die 'openssl is missing (apt-get install openssl)'
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
case $folder/ in
"$tree"/*) git -C "$tree" check-ignore -q "$folder" || die "$folder is inside of the repository, where keys get committed by accident" ;;
esac
[ ! -e "$folder/update-ca.key.pem" ] || die "$folder has keys already; boxes built with them would take nothing signed with new ones"
umask 077

authority() {
	openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$folder/update-ca.key.pem" 2>/dev/null ||
		openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$folder/update-ca.key.pem" 2>/dev/null
	openssl req -x509 -new -key "$folder/update-ca.key.pem" -sha256 -days 7300 -subj '/O=Andon/CN=Andon update authority' \
		-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign \
		-out "$folder/update-ca.cert.pem"
}

signing() {
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout "$folder/update-signing.key.pem" \
		-subj '/O=Andon/CN=Andon update signing' -out "$folder/update-signing.csr" 2>/dev/null
	openssl x509 -req -in "$folder/update-signing.csr" -CA "$folder/update-ca.cert.pem" -CAkey "$folder/update-ca.key.pem" \
		-set_serial "0x$(openssl rand -hex 8)" -sha256 -days 7300 -out "$folder/update-signing.cert.pem" 2>/dev/null \
		-extfile <(printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=emailProtection\n')
	rm "$folder/update-signing.csr"
}

authority
signing
openssl genpkey -algorithm ED25519 -out "$folder/import.key.pem"
openssl pkey -in "$folder/import.key.pem" -pubout -out "$folder/import.pub"
chmod 0644 "$folder"/*.cert.pem "$folder/import.pub"
echo "the keys are in $folder; the three *.key.pem are secret"

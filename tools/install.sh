#!/usr/bin/env bash
# Puts the program and what belongs to it into a tree: the one list of what an appliance has.
#
#     tools/install.sh BINARY DESTINATION
#
# DESTINATION is the root of the tree, `/` for this machine. Folders of systemd and udev are below /usr/lib. Not installed:
# the configuration, which is the site's (config/andon.toml shows all of it), and what starts the service: `systemctl
# enable andon`, or the image's presets. tests/vm uses this list.

set -euo pipefail

tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
binary=$1 destination=${2%/}

put() { install -D -m "$1" "$2" "$destination/$3"; }

put 755 "$binary" usr/bin/andon
put 644 "$tree/config/andon.service" usr/lib/systemd/system/andon.service
put 644 "$tree/config/andon.sysusers" usr/lib/sysusers.d/andon.conf
put 644 "$tree/config/60-andon.rules" usr/lib/udev/rules.d/60-andon.rules
for file in "$tree"/models/*.tflite "$tree"/models/*.txt "$tree"/models/*.jpg "$tree/models/models.toml"; do
	put 644 "$file" "usr/share/andon/models/$(basename "$file")"
done
put 644 "$tree/LICENSE" usr/share/doc/andon/copyright
put 644 "$tree/NOTICE" usr/share/doc/andon/NOTICE
put 644 "$tree/README.md" usr/share/doc/andon/README.md

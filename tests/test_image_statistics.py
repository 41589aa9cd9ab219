import numpy as np
import pytest
from PIL import Image, ImageFilter

from medq_engine.image_statistics import by_group, image_statistics, spectrum


@pytest.fixture
def field() -> Image.Image:
    pixels = np.random.default_rng(0).integers(60, 200, (96, 96, 3), dtype=np.uint8)
    return Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(1))


def test_all_groups_in_order_in_single_precision(field):
    found = image_statistics(field)
    assert found.shape == (765,)
    assert found.dtype == np.float32
    assert found == pytest.approx(np.concatenate(list(by_group(field).values())), abs=1e-6)
    assert np.array_equal(found, image_statistics(field))


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_flat_image_has_finite_statistics(level):
    assert np.isfinite(image_statistics(Image.new("RGB", (96, 96), (level,) * 3))).all()


def test_images_of_any_size_are_measured_on_one_grid(field):
    large = field.resize((192, 192), Image.NEAREST)
    assert image_statistics(large) == pytest.approx(image_statistics(field), abs=1e-4)


def test_every_group_notices_noise(field):
    rng = np.random.default_rng(1)
    noisy = np.clip(np.asarray(field) + rng.normal(0, 20, (96, 96, 3)), 0, 255).astype(np.uint8)
    clean, found = by_group(field), by_group(Image.fromarray(noisy))
    for group, values in found.items():
        assert np.abs(values - clean[group]).max() > 0.05, group


def test_stripes_are_a_peak_in_the_spectrum_in_one_direction():
    plain = np.random.default_rng(2).normal(0.5, 0.05, (96, 96))
    stripes = plain + 0.1 * np.sin(2 * np.pi * 16 * np.arange(96) / 96)
    before, after = np.array(spectrum(plain)), np.array(spectrum(stripes))
    assert len(after) == 18
    assert after[-2] > before[-2] + 2  # the highest peak
    rise = (after - before)[8:16]  # eight directions
    assert np.argmax(rise) in (0, 7)
    assert rise.max() > 10 * np.median(np.abs(rise))

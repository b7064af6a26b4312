"""Pictures are written, of the stated width, with something on them."""

import numpy as np
import pytest
from matplotlib.image import imread

from snraware_jax.evaluation import pictures
from snraware_jax.evaluation.in_distribution import Case
from snraware_jax.evaluation.preview import write_preview
from snraware_jax.formats.series import Series


def beating_case(frames=4, height=24, width=32):
    t, y, x = np.ogrid[:frames, :height, :width]
    texture = 1 + 0.2 * np.sin(x / 2 + t) * np.cos(y / 3)
    disk = np.hypot(y - height / 2, x - width / 2) < 7 + 3 * np.sin(2 * np.pi * t / max(frames, 2))
    clean = 8 * texture * disk * np.exp(1j * x / 20)
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(clean.shape) + 1j * rng.standard_normal(clean.shape)
    g = (1 + np.hypot(y, x)[0] / 40).astype(np.float32)
    return Case("disk", clean.astype(np.complex64), (clean + g * noise).astype(np.complex64), g, 8.0, 1.0)


def content(path):
    """The picture `[height, width, 3]`; 1200 pixels wide, and not blank."""
    image = imread(path)[..., :3]
    assert image.shape[1] == 1200
    assert np.std(image) > 0.05
    return image


def test_comparison(tmp_path):
    case = beating_case()
    path = tmp_path / "a" / "folder" / "comparison.png"
    pictures.comparison(path, case, {"half": (case.noisy + case.clean) / 2, "identity": case.noisy})
    image = content(path)
    # four columns of [24, 32] pixels: two rows of images and one of profiles, words between
    assert 2.4 < image.shape[0] / (300 * 24 / 32) < 3.6


def test_comparison_shows_what_it_is_given(tmp_path):
    case = beating_case()
    for name, factor in (("good", 0.1), ("bad", 0.9)):
        pictures.comparison(tmp_path / name, case, {"network": case.clean + factor * (case.noisy - case.clean)})
    assert np.abs(content(tmp_path / "good") - content(tmp_path / "bad"))[:, 800:].mean() > 0.01


def test_comparison_of_one_frame_has_no_profiles(tmp_path):
    heights = []
    for frames in (1, 4):
        case = beating_case(frames)
        pictures.comparison(tmp_path / "picture.png", case, {"identity": case.noisy})
        heights.append(content(tmp_path / "picture.png").shape[0])
    assert heights[0] < heights[1]


def test_comparison_with_many_methods_and_a_perfect_one(tmp_path):
    case = beating_case(height=32, width=12)
    pictures.comparison(tmp_path / "many.png", case, {str(i): case.noisy for i in range(5)} | {"perfect": case.clean})
    content(tmp_path / "many.png")


@pytest.mark.parametrize("batched", [False, True])
def test_training_samples(tmp_path, batched):
    case = beating_case()
    arrays = case.noisy, (case.noisy + case.clean) / 2, case.clean, case.g_map
    if batched:
        arrays = tuple(np.stack([a, a]) for a in arrays)
    pictures.training_samples(tmp_path / "samples.png", *arrays)
    image = content(tmp_path / "samples.png")
    assert (image.shape[0] > 350) == batched


def test_curves(tmp_path):
    rows = [{"step": s, "loss": 1 / s, "gain_db": 3.0 + s % 2, "learning_rate": 1e-3 * s} for s in range(1, 50)]
    rows.insert(20, {"step": 20, "validation_gain_db": 5.0})
    pictures.curves(tmp_path / "curves.png", rows)
    image = content(tmp_path / "curves.png")
    assert (np.ptp(image, axis=(0, 2)) > 0.3).mean() > 0.5  # curves in all three panels


def test_a_curve_of_one_point_shows_it(tmp_path):
    pictures.curves(tmp_path / "loss.png", [{"step": 1, "loss": 0.5}])
    red, _, blue = np.moveaxis(imread(tmp_path / "loss.png")[..., :3], -1, 0)
    assert np.count_nonzero(blue - red > 0.5) > 10


def test_no_curves(tmp_path):
    with pytest.raises(ValueError, match="no curves to draw"):
        pictures.curves(tmp_path / "curves.png", [{"step": 1}])
    assert not (tmp_path / "curves.png").exists()


def series(frames=4, accelerations=(2, 3, 4), acceleration=2, shared_g=True, fills=False):
    """A disc in SNR units, noise beside it unless it fills the field of view."""
    case = beating_case(frames, 64, 80)
    rng = np.random.default_rng(1)
    noise = rng.standard_normal(case.clean.shape) + 1j * rng.standard_normal(case.clean.shape)
    image = (40 * (case.clean + 8 * fills) + noise).astype(np.complex64)
    g = case.g_map if shared_g else np.broadcast_to(case.g_map, image.shape)
    return Series(
        image, g, np.stack([(1 + i) * g for i in range(len(accelerations))]), accelerations, acceleration, {"coils": 8}
    )


SHEETS = {
    "frames": series(),
    "one frame": series(frames=1, accelerations=(2,)),
    "slices": series(frames=5, shared_g=False),
    "a volume": series(frames=6, shared_g=False, accelerations=((2, 1), (2, 2)), acceleration=(2, 2)),
    "no background": series(fills=True),
}


@pytest.mark.parametrize("kind", SHEETS)
def test_preview(tmp_path, kind):
    write_preview(tmp_path / "scan.png", SHEETS[kind])
    assert [path.name for path in tmp_path.iterdir()] == ["scan.png"]
    image = imread(tmp_path / "scan.png")[..., :3]
    assert image.shape[1] == 1430
    assert np.std(image) > 0.05


def test_preview_shows_g_and_the_noise(tmp_path):
    shown = series()
    write_preview(tmp_path / "a.png", shown)
    write_preview(
        tmp_path / "b.png", Series(shown.image, 3 * shown.g_map, shown.g_maps, shown.accelerations, shown.acceleration)
    )
    write_preview(tmp_path / "c.png", Series(0.5 * shown.image, shown.g_map, shown.g_maps, shown.accelerations, 2))
    a, b, c = (imread(tmp_path / f"{name}.png") for name in "abc")
    assert a.shape == b.shape == c.shape
    assert np.abs(a - b).mean() > 0.001
    assert np.abs(a - c).mean() > 0.001

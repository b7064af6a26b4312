"""Objects that are not hearts: brain, spine, bottles, and the signal equations of their scans."""

import dataclasses
import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.simulator import Settings, bottles, brain, spine
from data_pipeline.simulator.brain_anatomy import draw_brain
from data_pipeline.simulator.fields import rough, waves
from data_pipeline.simulator.fourier import resize
from data_pipeline.simulator.frame import frame, on_matrix, points
from data_pipeline.simulator.relaxation import displaced, echo_train, mprage, spoiled, turbo_spin_echo
from data_pipeline.simulator.spine_column import LEVELS, along, column
from data_pipeline.simulator.subject import stream
from data_pipeline.simulator.torso import wobble
from snraware_jax.errors import InputError

COMMON = {"frames": 1, "coils": 4, "calibration_lines": 8, "field_strength": 1.5, "noise_readouts": 8}
HEAD = Settings(
    kind="mprage", matrix=(50, 48), partitions=10, slice_mm=5.0, acceleration=(2, 2), fov_mm=(250.0, 250.0), fine=1, flip_deg=9.0,
    tr_ms=8.0, **COMMON,
)  # fmt: skip
BACK = Settings(
    kind="spine",
    matrix=(112, 96),
    slices=5,
    slice_mm=6.0,
    fov_mm=(340.0, 300.0),
    fine=1,
    flip_deg=150.0,
    tr_ms=3000.0,
    **COMMON,
)
FLASK = Settings(kind="phantom", matrix=(72, 96), fov_mm=(210.0, 280.0), fine=2, flip_deg=12.0, tr_ms=8.0, **COMMON)
SCANS = {"brain": (brain.volume, HEAD), "spine": (spine.images, BACK), "bottles": (bottles.image, FLASK)}
TEMPLATES = Path(__file__).parents[3] / "shared" / "data"


def draw(kind, subject=0, number=0, settings=None, seed=0):
    make, usual = SCANS[kind]
    return make(lambda name: stream(seed, subject, name), settings or usual, number)


@pytest.fixture(scope="module", params=SCANS)
def drawn(request):
    return request.param, *draw(request.param)


# objects


def test_an_object_follows_from_its_streams(drawn):
    kind, image, labels, card = drawn
    again = draw(kind)
    np.testing.assert_array_equal(image, again[0])
    np.testing.assert_array_equal(labels, again[1])
    assert card == again[2] == json.loads(json.dumps(card))


def test_shapes_and_types(drawn):
    kind, image, labels, card = drawn
    settings = SCANS[kind][1]
    assert image.dtype == np.complex64
    assert labels.dtype == np.uint8
    assert labels.shape == (settings.partitions, *settings.matrix)
    assert image.ndim == 3
    assert all(fine >= n for fine, n in zip(image.shape, labels.shape, strict=True))
    assert np.isfinite(image).all()
    assert 0.08 < np.mean(np.abs(image) > 0.02 * np.abs(image).max()) < 0.95
    assert card["frame"]["size_mm"][1:] == list(settings.fov_mm)
    assert all(60 < half < 260 for half in card["extent_mm"])


@pytest.mark.parametrize("kind", SCANS)
def test_twenty_subjects_without_a_duplicate(kind):
    small = dataclasses.replace(SCANS[kind][1], matrix=(25, 23), partitions=3 if kind == "brain" else 1)
    pictures = np.stack(
        [np.abs(resize(draw(kind, subject, 0, small)[0], (25, 23)))[-2 if kind == "brain" else 0] for subject in range(20)]
    )
    correlation = np.corrcoef(pictures.reshape(20, -1))
    assert np.max(correlation - 2 * np.eye(20)) < 0.98
    others = np.abs(resize(draw(kind, 0, 0, small, seed=1)[0], (25, 23)))[-2 if kind == "brain" else 0]
    assert np.corrcoef(others.ravel(), pictures[0].ravel())[0, 1] < 0.98


@pytest.mark.parametrize("kind", SCANS)
@pytest.mark.parametrize("matrix", [(9, 7), (8, 11)])
def test_tiny_and_odd_grids(kind, matrix):
    for partitions in (1, 3) if kind == "brain" else (1,):
        settings = dataclasses.replace(SCANS[kind][1], matrix=matrix, partitions=partitions)
        image, labels, _ = draw(kind, 1, 0, settings)
        assert labels.shape == (partitions, *matrix)
        assert np.isfinite(image).all()
        assert np.abs(image).max() > 0


@pytest.mark.parametrize("kind", ["spine", "bottles"])
def test_fine_detail_near_the_resolution_limit(kind):
    """A low-pass filter to half the resolution loses a part of the picture that an SNR of 30 would show."""
    settings = SCANS[kind][1]
    image = np.abs(resize(draw(kind)[0], settings.matrix))[0]
    kspace = np.fft.fft2(image)
    keep = np.abs(np.fft.fftfreq(image.shape[0]))[:, None] < 0.25
    keep = keep & (np.abs(np.fft.fftfreq(image.shape[1])) < 0.25)
    lost = image - np.fft.ifft2(kspace * keep).real
    inside = image > 0.1 * image.max()
    assert lost[inside].std() > image[inside].mean() / 30


@pytest.mark.parametrize("kind", ["spine", "bottles"])
def test_slices_of_a_subject_share_the_anatomy_and_differ(kind):
    settings = dataclasses.replace(SCANS[kind][1], slices=9, slice_mm=4.0)
    cut = lambda subject, number: draw(kind, subject, number, settings)
    (first, labels, card), (second, others, other_card), (_, foreign, _) = cut(2, 4), cut(2, 5), cut(3, 4)
    own = lambda card: {name: value for name, value in card.items() if name not in ("frame", "slice")}
    assert own(card) == own(other_card)
    assert not np.allclose(first, second, atol=0.02 * np.abs(first).max())
    agreement = lambda a, b: np.sum((a == b) & (a > 0)) / np.sum((a > 0) | (b > 0))
    assert agreement(labels, others) > max(0.5, agreement(labels, foreign) + 0.1)


def test_the_middle_of_the_spine_lies_in_the_slices():
    """Cord or roots in the middle slices, none at the outer ones."""
    wide = dataclasses.replace(BACK, slices=3, slice_mm=24.0)
    counts = [np.sum(draw("spine", 1, number, wide)[1] == 1) for number in range(3)]
    assert counts[1] > 50
    assert counts[0] == counts[2] == 0


@pytest.mark.parametrize("subject", range(3))
def test_white_matter_is_brighter_than_grey_and_fluid(subject):
    image, labels, _ = draw("brain", subject)
    middle = slice(4, 6)
    grey, white, fluid = (np.median(np.abs(image[middle][labels[middle] == label])) for label in (1, 2, 3))
    assert white > 1.25 * grey
    assert grey > 1.5 * fluid


def test_fluid_is_brightest_and_fat_bright_on_the_spine():
    signals = {name: value for name, (value, _) in spine.tissues(stream(0, 0, "contrast"), BACK).items()}
    assert max(signals, key=signals.get) == "csf"
    assert signals["fat"] > 0.6 * signals["csf"]
    assert signals["csf"] > signals["nucleus"] > signals["cord"] > signals["marrow"] > signals["muscle"] > signals["cortical"]
    image, labels, _ = draw("spine", 1, 2, dataclasses.replace(BACK, fine=2))
    magnitude = np.abs(resize(image, BACK.matrix))
    fluid, cord, body = (np.median(magnitude[labels == label]) for label in (1, 2, 3))
    assert fluid > 1.3 * cord
    assert fluid > 1.3 * body


def test_nothing_folds_over_along_the_slab():
    image, _, _ = draw("brain")
    assert not image[0].any()
    for partitions in (49, 50):
        profile = brain.profile(partitions)
        assert profile[0] == 0
        assert profile[-1] < 0.08
        np.testing.assert_allclose(profile[7:-6], 1, rtol=1e-6)


# anatomy


def test_a_cortex_of_plausible_thickness():
    """Volume of grey matter over its border with white, on points 1.6 mm apart."""
    place = frame((0, 0, 35), np.eye(3)[[2, 1, 0]], (16.0, 192.0, 192.0))
    card = brain.draw_card(stream(0, 0, "subject"))
    made = draw_brain(points(place, (10, 120, 120)), (1.6, 1.6, 1.6), card, stream(0, 0, "torso"))
    assert np.all((made.grey >= 0) & (made.white >= 0) & (made.grey + made.white < 1 + 1e-5))
    outer = made.envelope > -25
    border = sum(
        np.sum(
            (np.diff((made.white > 0.5).astype(int), axis=axis) != 0)
            & outer[tuple(slice(1, None) if a == axis else slice(None) for a in range(3))]
        )
        for axis in range(3)
    )
    thickness = made.grey[outer].sum() * 1.6 / (border / 1.5)  # faces of a grid overestimate a surface by 3/2
    assert 1.5 < thickness < 4.5


def test_bodies_and_discs_of_plausible_height():
    settings = dataclasses.replace(BACK, matrix=(340, 100), slices=1)
    _, labels, card = draw("spine", 1, 0, settings)
    column_of_bodies = labels[0][:, np.argmax(np.sum(labels[0] >= 3, axis=0))]
    runs = [(label, len(list(run))) for label, run in itertools.groupby(column_of_bodies)]
    heights = {label: [length for name, length in runs[1:-1] if name == label] for label in (3, 4)}
    assert len(heights[3]) >= 4
    assert 11 < np.median(heights[3]) < 34
    assert 2 < np.median(heights[4]) < 15
    lengths = column(card).centre
    assert len(LEVELS) == len(lengths) == 29
    assert 500 < lengths[24] - lengths[0] < 800


def test_points_of_the_column_lie_on_it():
    card = spine.draw_card(stream(0, 4, "subject"), BACK)
    made = column(card)
    s, u, x = along(made, made.at[:, :, None, None].transpose(1, 2, 3, 0).astype(np.float32))
    np.testing.assert_allclose(s[0, 0, :24], made.centre[:24], atol=0.6)
    np.testing.assert_allclose(u[0, 0, :24], 0, atol=0.3)
    np.testing.assert_allclose(x[0, 0, :24], 0, atol=0.3)


@pytest.mark.parametrize("subject", range(6))
def test_the_warp_of_a_subject_is_invertible(subject):
    place = points(frame((0, 0, 0), np.eye(3), (200.0, 200.0, 160.0)), (25, 25, 20))
    moved = np.stack(wobble(place, stream(0, subject, "torso").spawn(3)[1]))
    jacobian = np.stack([np.stack(np.gradient(component, 8.0)) for component in moved])
    assert np.linalg.det(np.moveaxis(jacobian, (0, 1), (-2, -1))).min() > 0.2


def test_frames_have_their_centre_in_the_middle():
    place = frame((1, 2, 3), ((0, 0, 1), (0, 1, 0), (1, 0, 0)), (10.0, 40.0, 60.0))
    for shape in ((2, 4, 6), (3, 5, 7)):
        at = points(place, shape)
        np.testing.assert_allclose(at[(slice(None), *(n // 2 for n in shape))], (1, 2, 3), atol=1e-6)
    np.testing.assert_allclose(at[2, :, 0, 0] - 3, (np.arange(3) - 1) * 10 / 3, atol=1e-6)
    labels = np.arange(6 * 8).reshape(1, 6, 8)
    np.testing.assert_array_equal(on_matrix(labels, (1, 6, 8)), labels)
    np.testing.assert_array_equal(on_matrix(labels, (1, 3, 4)), labels[:, 1::2, ::2])


def test_random_fields_have_their_wavelength():
    rng = np.random.default_rng(0)
    field = waves(rng, (24, 64, 64), (1.0, 1.0, 1.0), 8.0)
    power = np.abs(np.fft.fftn(field)) ** 2
    k = np.sqrt(sum(np.meshgrid(*(np.fft.fftfreq(n) ** 2 for n in field.shape), indexing="ij")))
    assert np.sum(k * power) / np.sum(power) == pytest.approx(1 / 8, rel=0.15)
    for made in (field, rough(rng, (24, 64, 64), (1.0, 1.0, 1.0), 1.6, 8.0)):
        assert made.mean() == pytest.approx(0, abs=1e-3)
        assert made.std() == pytest.approx(1, rel=1e-3)


# templates


def test_templates_that_are_missing_are_named(tmp_path):
    with pytest.raises(InputError, match="mni_icbm152_t1"):
        brain.volume(lambda name: stream(0, 0, name), HEAD, 0, tmp_path)


@pytest.mark.skipif(not list(TEMPLATES.glob("mni_icbm152_*")), reason="the MNI templates are the user's own; none here")
def test_a_brain_from_templates():
    image, labels, _ = brain.volume(lambda name: stream(0, 0, name), HEAD, 0, TEMPLATES)
    grey, white, fluid = (np.median(np.abs(image[4:6][labels[4:6] == label])) for label in (1, 2, 3))
    assert white > 1.25 * grey > 1.5 * fluid
    drawn_one = draw("brain")[0]
    assert np.corrcoef(np.abs(image).ravel(), np.abs(drawn_one).ravel())[0, 1] > 0.5  # the same head about another brain


# signal equations


def test_spoiled_echo_peaks_at_the_ernst_angle():
    flips = np.linspace(0.01, 1.5, 2000)
    ernst = math.acos(math.exp(-8 / 300))
    assert flips[np.argmax(spoiled(300, 1.0, flips, 8.0))] == pytest.approx(ernst, abs=1e-3)
    assert spoiled(300, 0.7, math.pi / 2, 1e5) == pytest.approx(0.7)
    assert spoiled(300, 1.0, 0.3, 8.0) > spoiled(1200, 1.0, 0.3, 8.0)


def train_by_steps(t1, flip, spacing, readouts, inversion, cycle, efficiency):
    """Magnetisation followed pulse by pulse over a hundred cycles."""
    relax = lambda m, time: 1 + (m - 1) * math.exp(-time / t1)
    m, seen = 1.0, 0.0
    for _ in range(100):
        m = relax(-efficiency * m, inversion - (readouts // 2) * spacing)
        for n in range(readouts):
            if n == readouts // 2:
                seen = m * math.sin(flip)
            m = relax(m * math.cos(flip), spacing)
        m = relax(m, cycle - inversion - (readouts - readouts // 2) * spacing)
    return seen


@pytest.mark.parametrize("t1", [300.0, 650.0, 1120.0, 4000.0])
@pytest.mark.parametrize("readouts", [1, 24, 25])
def test_mprage_equals_the_magnetisation_followed_by_steps(t1, readouts):
    arguments = (t1, math.radians(9), 8.0, readouts, 950.0, 2000.0, 0.96)
    closed = mprage(t1, 1.0, *arguments[1:])
    assert closed == pytest.approx(train_by_steps(*arguments), rel=1e-9)


def test_mprage_of_small_flips_is_inversion_recovery():
    small = mprage(900.0, 1.0, 1e-6, 8.0, 20, 700.0, 20000.0, 1.0) / 1e-6
    assert small == pytest.approx(1 - 2 * math.exp(-700 / 900), abs=1e-4)


@pytest.mark.parametrize("readouts", [240, 300])
def test_a_train_that_does_not_fit_is_an_error(readouts):
    with pytest.raises(InputError, match="does not fit"):
        mprage(900.0, 1.0, 0.1, 8.0, readouts, 950.0, 2000.0)


def test_turbo_spin_echo_and_its_train():
    assert turbo_spin_echo(500, 80, 0.9, 1e6, 0) == pytest.approx(0.9)
    assert turbo_spin_echo(500, 80, 1, 1e6, 80) == pytest.approx(math.exp(-1))
    for lines in (31, 32):
        decay = echo_train(lines, 10.0, 90.0, 16, 60.0)
        assert decay[lines // 2] == 1
        assert np.all(np.diff(decay) < 0)
        assert decay[0] / decay[-1] == pytest.approx(math.exp(16 * 10 / 60 * (lines - 1) / lines))
        np.testing.assert_allclose(echo_train(lines, 10.0, 90.0, 16, 1e9), 1, rtol=1e-6)


def test_displacement_keeps_the_signal():
    line = np.random.default_rng(0).random((3, 20)).astype(np.float32)
    np.testing.assert_allclose(displaced(line, 0.15), np.roll(line, 3, -1), atol=1e-6)
    np.testing.assert_allclose(displaced(line, -0.37).sum(-1), line.sum(-1), rtol=1e-5)

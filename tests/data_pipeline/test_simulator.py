"""The simulated subjects: reproducible, beating, conserving mass, and like a real cine in their statistics."""

import dataclasses
import itertools
import json

import numpy as np
import pytest

from data_pipeline.simulator import (
    Settings,
    from_magnitude,
    heart,
    kinetics,
    realism,
    rough,
    scene,
    simulate,
    simulation,
    study,
    torso,
    training_sample,
    vessels,
)
from data_pipeline.simulator import view as views
from data_pipeline.simulator.contrast import TISSUES
from data_pipeline.simulator.motion import State, breath, timing, volume_curve
from data_pipeline.simulator.subject import PLANES, draw_card, draw_view, stream
from data_pipeline.simulator.texture import sample
from snraware_jax.errors import InputError

SMALL = Settings(matrix=(48, 64), frames=6, coils=4, calibration_lines=24, noise_readouts=8)


@pytest.fixture(scope="module")
def small():
    return simulate(0, 1, SMALL)


def test_a_subject_follows_from_seed_and_index(small):
    again = simulate(0, 1, SMALL)
    for field in ("kspace", "noise", "calibration"):
        np.testing.assert_array_equal(getattr(small.scan, field), getattr(again.scan, field))
    np.testing.assert_array_equal(small.truth, again.truth)
    assert small.card == again.card


@pytest.mark.parametrize("other", [(0, 2), (1, 1)], ids=["subject", "seed"])
def test_other_subjects_differ(small, other):
    correlation = np.corrcoef(np.abs(small.truth).ravel(), np.abs(simulate(*other, SMALL).truth).ravel())[0, 1]
    assert correlation < 0.8


def test_the_anatomy_does_not_depend_on_the_noise(small):
    noisier = simulate(0, 1, dataclasses.replace(SMALL, noise_readouts=9))
    np.testing.assert_array_equal(small.labels, noisier.labels)
    np.testing.assert_allclose(small.truth, noisier.truth, rtol=1e-6)


@pytest.mark.parametrize("matrix", [(48, 64), (47, 63)], ids=["even", "odd"])
def test_shapes_and_types(matrix):
    simulated = simulate(3, 0, dataclasses.replace(SMALL, matrix=matrix, acceleration=3))
    scan, (ky, kx) = simulated.scan, matrix
    assert scan.kspace.shape == simulated.noise_free.shape == (6, 4, ky, 2 * kx)
    assert scan.calibration.shape == (4, 24, 2 * kx)
    assert scan.calibration_start[0] <= ky // 2 < scan.calibration_start[0] + 24
    assert scan.noise.shape == (4, 8 * 2 * kx)
    assert simulated.truth.shape == simulated.labels.shape == (6, ky, kx)
    assert {a.dtype for a in (scan.kspace, scan.noise, scan.calibration, simulated.truth)} == {np.dtype(np.complex64)}
    assert simulated.labels.dtype == np.uint8
    assert scan.acquired[:, ky // 2].all()
    np.testing.assert_array_equal(scan.kspace[~np.broadcast_to(scan.acquired[:, None], scan.kspace.shape[:3])], 0)
    assert np.isfinite(scan.kspace).all()


def test_the_card_is_json(small):
    restored = json.loads(json.dumps(small.card))
    assert restored["subject"] == 1
    assert len(restored["relative_volume"]) == SMALL.frames


def test_signal_snr_is_in_its_range(small):
    low, high = SMALL.signal_snr
    peak = np.percentile(np.abs(small.truth), 99.5)
    assert low <= peak <= high
    np.testing.assert_allclose(peak, small.card["signal_snr"], rtol=1e-5)


def test_volume_curve_is_periodic_and_ejects():
    phase = np.linspace(0, 1, 501)
    volume = volume_curve(0.6, 0.36, phase)
    np.testing.assert_allclose(volume_curve(0.6, 0.36, phase + 1), volume, atol=1e-12)
    np.testing.assert_allclose([volume[0], volume.min()], [1, 0.4], atol=1e-6)
    np.testing.assert_allclose(phase[volume.argmin()], 0.36, atol=0.003)


@pytest.fixture(scope="module")
def mid_ventricle():
    """The first short-axis view through the middle of a heart without a wall-motion defect, seen close."""
    settings = dataclasses.replace(SMALL, matrix=(80, 96), frames=8, zoom=(0.6, 0.65))
    for subject in range(200):
        card = draw_card(stream(7, subject, "subject"), settings) | draw_view(stream(7, subject, "subject", 0), settings)
        if card["plane"] == "short_axis" and 0.4 < card["level"] < 0.6 and not card["defect"]:
            return simulate(7, subject, settings)
    raise AssertionError("no such view in 200 subjects")


def test_blood_is_ejected_and_the_wall_keeps_its_mass(mid_ventricle):
    blood = np.sum(mid_ventricle.labels == 1, axis=(1, 2))
    muscle = np.sum(mid_ventricle.labels == 2, axis=(1, 2))
    volume = np.array(mid_ventricle.card["relative_volume"])
    assert abs(int(blood.argmin()) - int(volume.argmin())) <= 1
    assert 0.3 < blood.min() / blood.max() < 0.85
    assert muscle.min() / muscle.max() > 0.8


def test_blood_is_brighter_than_muscle(mid_ventricle):
    signal = np.abs(mid_ventricle.truth)
    ratio = np.median(signal[mid_ventricle.labels == 1]) / np.median(signal[mid_ventricle.labels == 2])
    assert 1.6 < ratio < 5


STATISTICS = {  # with how far a median of 12 views may lie outside the spread of the real slices
    "slope": (lambda x: realism.slope(realism.radial_spectrum(x)), 0.1),
    "spatial power": (lambda x: np.log10(realism.radial_spectrum(x)), 0.12),
    "temporal power": (lambda x: np.log10(realism.temporal_spectrum(x)), 0.12),
    "gradients": (realism.gradients, 0.05),
    "local SD": (realism.local_variances, 0.05),
    "moving share": (realism.moving_share, 0.005),
}


def test_statistics_are_those_of_a_real_cine(shared):
    """Medians over short-axis views lie within the spread of the slices of a real heart (docs/data.md has the figure)."""
    settings = Settings(matrix=(160, 160), frames=21, coils=6, noise_readouts=8, fov_mm=(350, 350), zoom=(1.05, 1.3), fine=2,
                        field_strength=1.5, tr_ms=3.2)  # fmt: skip
    slices = np.load(shared / "data" / "cine_sax_sunnybrook.npz")["images"].astype(np.float32)
    real = [np.abs(from_magnitude(x, settings, np.random.default_rng(0), "real").truth) for x in slices]
    short_axis = (k for k in itertools.count() if draw_view(stream(1, k, "subject", 0), settings)["plane"] == "short_axis")
    simulated = [np.abs(training_sample(1, k, settings).image) for k in itertools.islice(short_axis, 12)]
    for name, (statistic, margin) in STATISTICS.items():
        spread = np.array([statistic(x) for x in real])
        found = np.median([statistic(x) for x in simulated], axis=0)
        assert np.all(found > spread.min(axis=0) - margin), f"{name}: {found} below {spread.min(axis=0)}"
        assert np.all(found < spread.max(axis=0) + margin), f"{name}: {found} above {spread.max(axis=0)}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"calibration_lines": 6}, "choose at least 7"),
        ({"calibration_lines": 49}, "choose fewer"),
        ({"field_strength": 7.0}, "choose 1.5 or 3.0"),
        ({"noise_readouts": 0}, "give a whole number above 0"),
        ({"slices": 65}, "give at most 64"),
    ],
    ids=["few lines", "many lines", "field", "noise scan", "slices"],
)
def test_settings_that_cannot_work_say_what_to_choose(change, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(SMALL, **change)


def test_two_thousand_cards_differ_and_show_all_planes():
    cards = [draw_card(stream(0, k, "subject"), SMALL) | draw_view(stream(0, k, "subject", 0), SMALL) for k in range(2000)]
    assert len({json.dumps(card) for card in cards}) == 2000
    # continuous numbers, so that nearly equal cards would be as bad: no two agree in ejection fraction and radius to 1e-6
    pairs = np.array([(card["ejection_fraction"], card["lv_radius_mm"]) for card in cards]).round(6)
    assert len(np.unique(pairs, axis=0)) == 2000
    counts = {plane: sum(card["plane"] == plane for card in cards) for plane in PLANES}
    assert min(counts.values()) > 80
    fraction = np.array([card["ejection_fraction"] for card in cards])
    assert 0.15 < fraction.min() < 0.35 < 0.7 < fraction.max() < 0.8


def test_views_of_a_subject_share_the_body():
    one, other = (simulate(0, 1, SMALL, view=v).card for v in (0, 1))
    assert one["lv_radius_mm"] == other["lv_radius_mm"]
    assert one["rotation_deg"] != other["rotation_deg"]


def test_slices_of_a_study_share_the_scanner():
    first, second = study(0, 3, dataclasses.replace(SMALL, slices=2, slice_mm=12.0))
    np.testing.assert_array_equal(first.scan.noise, second.scan.noise)
    assert first.scan.name != second.scan.name
    assert np.corrcoef(np.abs(first.truth).ravel(), np.abs(second.truth).ravel())[0, 1] < 0.97
    assert second.card["lv_length_mm"] == first.card["lv_length_mm"]


def test_a_slice_beside_the_heart_is_drawn():
    settings = dataclasses.replace(SMALL, slices=24, frames=2, fine=1)
    card = draw_card(stream(0, 55, "subject"), settings) | draw_view(stream(0, 55, "subject", 0), settings)
    assert card["plane"] == "short_axis"
    view = views.place(card, settings, settings.fov_mm, -11.5 * settings.slice_mm)
    for part in scene.heart_box(card, view):
        assert part.stop - part.start > 1
    outermost = simulation.heart_scene(0, 55, settings, view=0, number=0)
    assert np.isfinite(outermost.images).all()
    assert not outermost.labels.any()


def test_the_body_does_not_tear_where_the_heart_no_longer_pulls_it():
    """At end systole tissue beside the heart has moved by millimetres; at the border of what is drawn anew it has not."""
    card = draw_card(stream(0, 3, "subject"), SMALL) | draw_view(stream(0, 3, "subject", 0), SMALL)
    view = views.place(card, SMALL, tuple(1.2 * v for v in SMALL.fov_mm))
    box = scene.heart_box(card, view)
    assert all(part.start > 0 and part.stop < size for part, size in zip(box, view.shape, strict=True))
    form = heart.draw_form(stream(0, 3, "heart"))
    points = rough.coarser(view.body[:, box[0], box[1]], scene.ROUGH)
    place = heart.at(card, form, views.in_heart(view, points), scene.ROUGH * view.pixel_mm)
    outline = heart.outline(card, form, place, State(0.4, 1.0, 0.86, 0.3, 0.0))
    still = np.random.default_rng(0).normal(size=view.shape).astype(np.complex64)
    moved, stays = scene.moved_background(still, outline, view, box), still[box]
    border = np.ones(stays.shape, bool)
    border[1:-1, 1:-1] = False
    np.testing.assert_allclose(moved[border], stays[border], atol=1e-4)
    assert np.abs(moved - stays).mean() > 0.1


@pytest.mark.parametrize("shape", [(9, 13), (8, 10), (2, 3)], ids=["odd", "even", "small"])
def test_between_rough_points_a_field_is_linear(shape):
    points = np.einsum("ai,ihw->ahw", [[1, 2], [0.5, -3], [2, 1]], np.indices(shape)).astype(np.float32) + 7
    coarse = rough.coarser(points, 4)
    for field, expected in zip(coarse, points, strict=True):
        np.testing.assert_allclose(rough.finer(field, 4, shape), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("subject", "settings"),
    [(1, SMALL), (2, SMALL), (3, SMALL), (8, SMALL), (34, dataclasses.replace(SMALL, matrix=(24, 256), fine=1))],
    ids=["four chambers", "oblique", "short axis", "four chambers with a defect", "wide pixels"],
)
def test_the_heart_lies_where_its_outline_says(subject, settings):
    """Drawn in the window that the outline gives, or at all points near the heart: the same picture."""
    card = draw_card(stream(0, subject, "subject"), settings) | draw_view(stream(0, subject, "subject", 0), settings)
    view = views.place(card, settings, settings.fov_mm)
    form, state = heart.draw_form(stream(0, subject, "heart")), State(0.4, 1.0, 0.86, 0.3, 0.0)
    at = lambda points, step: heart.at(card, form, views.in_heart(view, points), step * view.pixel_mm)
    outline = heart.outline(card, form, at(rough.coarser(view.body, scene.ROUGH), scene.ROUGH), state)
    near = scene.near_heart(outline.outside, view, view.shape)
    signals = {name: np.full(view.shape, k + 1, np.complex64) for k, name in enumerate(heart.TISSUES)}
    whole = scene.paint(heart.heart(card, form, at(view.body, 1), state).layers, signals)
    part = np.zeros_like(whole)
    scene.paint(
        heart.heart(card, form, heart.part(at(view.body, 1), near), state).layers,
        {name: signal[near] for name, signal in signals.items()},
        part[near],
    )
    np.testing.assert_allclose(part, whole, atol=1e-4)
    assert whole.any()
    assert part[near].size < 0.8 * whole.size


@pytest.mark.parametrize("subject", [1, 3, 4], ids=["four chambers", "short axis", "three chambers"])
def test_the_displacement_is_smooth(subject):
    """Outside the heart it hardly differs from what `finer` makes of every fourth point, about the long axis too."""
    card = draw_card(stream(0, subject, "subject"), SMALL) | draw_view(stream(0, subject, "subject", 0), SMALL)
    settings = dataclasses.replace(SMALL, matrix=(96, 128))
    view = views.place(card, settings, settings.fov_mm)
    form, state = heart.draw_form(stream(0, subject, "heart")), State(0.4, 1.0, 0.86, 0.3, 0.0)
    outline = lambda points, step: heart.outline(
        card, form, heart.at(card, form, views.in_heart(view, points), step * view.pixel_mm), state
    )
    exact, coarse = outline(view.body, 1), outline(rough.coarser(view.body, scene.ROUGH), scene.ROUGH)
    found = np.stack([rough.finer(part, scene.ROUGH, view.shape) for part in coarse.displacement])
    error = np.linalg.norm(found - exact.displacement, axis=0)[(exact.outside > 0) & (exact.outside < 30)]
    assert error.max() < 1.0
    assert np.quantile(error, 0.99) < 0.4  # grid points are 0.9 mm apart


def test_an_image_of_hardly_any_points_is_drawn():
    made = simulation.heart_scene(0, 5, dataclasses.replace(SMALL, matrix=(24, 32), fov_mm=(2000.0, 2600.0), fine=1), 0, 0)
    assert made.images.shape[0] == SMALL.frames
    assert np.isfinite(made.images).all()
    assert made.images.any()


def test_a_body_is_the_same_some_rows_at_a_time(monkeypatch):
    card = draw_card(stream(0, 5, "subject"), SMALL) | draw_view(stream(0, 5, "subject", 0), SMALL)
    view = views.place(card, SMALL, SMALL.fov_mm)
    signals = {name: np.full(view.shape, k + 1, np.complex64) for k, name in enumerate(TISSUES)}
    body, painted = torso.draw_torso(card, stream(0, 5, "torso")), []
    for rows in (17, view.shape[0]):
        monkeypatch.setattr(scene, "ROWS", rows)
        painted.append(scene.painted_body(card, body, view, view.body, signals))
    np.testing.assert_allclose(painted[0], painted[1], atol=1e-4)


def test_a_periodic_field_is_linear_between_its_points():
    rng = np.random.default_rng(0)
    field, row, column = rng.normal(size=(5, 7)), *rng.uniform(-20, 20, (2, 100))
    near = lambda at, n: np.clip(1 - np.abs((at[:, None] - np.arange(n) + n / 2) % n - n / 2), 0, 1)
    expected = np.einsum("pi,ij,pj->p", near(row, 5), field, near(column, 7))
    np.testing.assert_allclose(sample(field, row, column), expected, atol=2e-6)


def test_the_texture_of_the_wall_has_no_seam():
    """Just before and just behind half a turn it is nearly the same; half a centimetre on it is another."""
    for subject in range(5):
        card = draw_card(stream(0, subject, "subject"), SMALL)
        step = np.deg2rad([[-0.05, 0.05, 12.0]])
        radius = card["lv_radius_mm"] + np.linspace(0, card["wall_mm"], 40)[:, None]
        points = tuple(p.astype(np.float32) for p in (-radius * np.cos(step), -radius * np.sin(step), 50 + 0 * radius * step))
        form = heart.draw_form(np.random.default_rng(subject))
        beating = heart.heart(card, form, heart.at(card, form, points, 1.0), State(0.7, 0.5, 0.95, 0.1, 0.0))
        before, behind, further = scene.wall_field(beating, scene.wall_pattern(np.random.default_rng(subject), card)).T
        assert np.abs(behind - before).mean() < 0.3 * np.abs(further - before).mean()


def test_a_body_is_the_same_above_and_below_the_diaphragm():
    """What is drawn above the diaphragm does not depend on whether the plane cuts it."""
    card = draw_card(stream(0, 5, "subject"), SMALL)
    body = torso.draw_torso(card, stream(0, 5, "torso"))
    view = views.place(card | draw_view(stream(0, 5, "subject", 0), SMALL), SMALL, SMALL.fov_mm)
    x, y = np.meshgrid(np.arange(-200, 200, 4.0), np.arange(-130, 130, 4.0))
    chest = np.stack([x, y, np.full_like(x, 60)]).astype(np.float32)
    both = np.concatenate([chest, chest - np.float32([[[0]], [[0]], [[160]]])], axis=1)
    apart, together = (torso.torso(card, body, view, points) for points in (chest, both))
    for found, expected in zip(apart, together, strict=True):
        assert found.tissue == expected.tissue
        np.testing.assert_allclose(found.coverage, expected.coverage[: len(x)], atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"kind": "spine"}, "training samples are of hearts"), ({"calibration_lines": 24}, "need 25 or more")],
    ids=["kind", "calibration lines"],
)
def test_what_cannot_be_a_training_sample_says_why(change, message):
    with pytest.raises(InputError, match=message):
        training_sample(0, 1, dataclasses.replace(SMALL, **change))


def test_the_heart_frame_is_orthonormal_and_starts_at_the_apex():
    card = draw_card(stream(0, 5, "subject"), SMALL) | draw_view(stream(0, 5, "subject", 0), SMALL)
    view = views.place(card, SMALL, SMALL.fov_mm)
    np.testing.assert_allclose(view.heart_axes @ view.heart_axes.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(np.stack([view.down, view.across, view.normal]) @ view.normal, [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(views.in_heart(view, view.apex[:, None, None].astype(np.float32)), 0, atol=1e-4)
    # the apex lies to the left of, in front of and below the base
    assert (view.heart_axes[2] * [1, -1, -1] < 0).all()
    middle = view.body[:, view.middle[0], view.middle[1]]
    np.testing.assert_allclose(middle, view.centre, rtol=1e-5)
    spacing = np.linalg.norm(view.body[:, 1, 0] - view.body[:, 0, 0])
    np.testing.assert_allclose(spacing, view.spacing_mm[0], rtol=1e-4)


def test_breath_rests_in_expiration():
    card = {"breath_mm": 10.0, "breaths_per_second": 0.25, "breath_rest": 3}
    depth = breath(card, np.arange(0, 400, 0.05), np.random.default_rng(0))
    assert depth.min() >= 0
    assert 9 < depth.max() < 12
    period = 1 / card["breaths_per_second"]
    spectrum = np.abs(np.fft.rfft(depth - depth.mean()))
    np.testing.assert_allclose(np.fft.rfftfreq(len(depth), 0.05)[spectrum.argmax()], 1 / period, atol=0.005)


def test_real_time_frames_show_beats_and_breath():
    settings = dataclasses.replace(
        SMALL, kind="realtime_cine", frames=12, frame_ms=80.0, sampling="interleaved", acceleration=3
    )
    made = simulate(0, 1, settings)
    assert made.scan.calibration is None
    assert made.truth.shape == (12, 48, 64)
    card = draw_card(stream(0, 1, "subject"), settings)
    when = timing(card, settings, np.random.default_rng(0))
    beats = np.diff(when.cycle).mean() / 0.08 * 60
    np.testing.assert_allclose(beats, card["heart_rate"], rtol=0.15)
    spread = np.abs(made.truth).std(axis=0) / np.abs(made.truth).mean()
    held = np.abs(simulate(0, 1, SMALL).truth)
    assert np.median(spread) > 1.5 * np.median(held.std(axis=0) / held.mean())  # the whole body moves, not the heart alone


def test_a_contrast_agent_arrives_right_left_and_in_the_muscle():
    settings = dataclasses.replace(SMALL, kind="perfusion", frames=60, field_strength=1.5)
    card = draw_card(stream(0, 1, "subject"), settings)
    when = timing(card, settings, np.random.default_rng(0))
    rest, stress = (
        kinetics.weights(card, dataclasses.replace(settings, stress=stress), when, np.random.default_rng(0)).tissues
        for stress in (False, True)
    )
    half = lambda curve: int(np.argmax(curve - curve[0] > 0.5 * np.ptp(curve)))
    assert half(rest["venous"]) < half(rest["blood"]) <= half(rest["myocardium"])
    assert np.ptp(stress["myocardium"]) > 1.2 * np.ptp(rest["myocardium"])
    np.testing.assert_array_equal(rest["fat"], rest["fat"][0])


def test_poor_supply_is_the_same_sector_at_every_height():
    """Its darkest angle is that of poor motion, from apex to base, and turns with the heart's twist."""
    card = draw_card(stream(0, 1, "subject"), SMALL) | {"defect_angle_deg": 70.0, "twist_deg": 12.0}
    angle, height = np.meshgrid(np.linspace(-np.pi, np.pi, 361), card["lv_length_mm"] * np.array([0.3, 0.6, 0.9]))
    points = tuple(p.astype(np.float32) for p in (30 * np.cos(angle), 30 * np.sin(angle), height))
    form = heart.draw_form(np.random.default_rng(0))
    place = heart.at(card, form, points, 1.0)
    factors = kinetics.Weights({"myocardium": np.ones(1, np.float32)}, np.full(1, 0.3, np.float32))
    for emptied, expected in ((0.0, [70, 70, 70]), (1.0, [73.6, 70, 66.4])):
        state = State(1 - 0.5 * emptied, emptied, 1.0, 0.2 * emptied, 0.0)
        around = heart.heart(card, form, place, state).around
        signal = kinetics.with_defect(np.ones_like(around), factors, 0, around, card)
        np.testing.assert_allclose(np.rad2deg(angle[0, signal.argmin(axis=1)]), expected, atol=1)
        np.testing.assert_allclose(signal.min(axis=1), 0.3, atol=0.01)


def test_a_frame_is_mostly_itself():
    """A footprint falls to either side of its frame, whatever the subject's beats are."""
    settings = dataclasses.replace(SMALL, frames=30)
    for subject in range(100):
        when = timing(draw_card(stream(0, subject, "subject"), settings), settings, stream(0, subject, "heart", 0))
        assert np.all(when.footprint <= 1 - 2 * when.footprint + 1e-9)


def test_kinetics_follow_their_formulas():
    time = np.arange(0, 60, 0.05)
    bolus = kinetics.gamma_variate(time, 5.0, 3.0, 1.5)
    np.testing.assert_allclose([bolus.max(), time[bolus.argmax()], bolus[time <= 5].max()], [1, 9.5, 0], atol=1e-6)
    # a step of arterial blood fills the tissue with flow x density a minute at first (Fermi residue about 1)
    step = (time > 10).astype(float)
    filled = kinetics.uptake(time, step, 1.0)
    early = (time > 12.5) & (time < 13.5)
    np.testing.assert_allclose(np.gradient(filled, time)[early], 1.05 / 60, rtol=0.2)


def test_vessels_branch_by_murrays_law():
    tree = vessels.grow(np.random.default_rng(0), (0, 0, 0), (0, 0, 1), 5.0, 4)
    assert len(tree.radius) == 15
    cubes = tree.radius**3
    for level in range(4):  # the cross-section's cube is shared without loss
        np.testing.assert_allclose(cubes[2**level - 1 : 2 ** (level + 1) - 1].sum(), 125)

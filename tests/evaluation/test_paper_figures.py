"""The paper's figures of known arrays: numbers are right, bad cases are refused by name, figures have something on them."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from matplotlib.image import imread

from snraware_jax.errors import InputError
from snraware_jax.evaluation import generalisation, pictures
from snraware_jax.evaluation.paper_figures import Output, figure_1, figure_3, figure_4, figure_5, figure_6, panels, samples
from snraware_jax.evaluation.paper_figures.heart import passage
from snraware_jax.evaluation.scans import ScanCase
from snraware_jax.noise import NoiseSettings

BLOOD, MYOCARDIUM = 20.0, 5.0


def case_of(name, truth, labels, g_map, acceleration=4):
    """A case with white noise of SD g."""
    rng = np.random.default_rng(0)
    noise = g_map * (rng.standard_normal(truth.shape) + 1j * rng.standard_normal(truth.shape))
    height, width = truth.shape[1:]
    card = {"fov_mm": [3.0 * height, 2.0 * width], "settings": {"acceleration": acceleration}}
    none = np.zeros((1, *np.shape(g_map)), np.complex64)
    truth = truth.astype(np.complex64)
    noisy = (truth + noise).astype(np.complex64)
    return ScanCase(
        name, noisy, truth, np.asarray(g_map, np.float32), labels.astype(np.uint8), none, none[:, ..., 0] == 0, card
    )


def heart(frames=24, curves=None, one_chamber=False):
    """A left ventricle in a ring of myocardium and a right one beside it; `curves` `[3, T]` of right, left and myocardium."""
    y, x = np.mgrid[:24, :40]
    left, right = np.hypot(y - 12, x - 12), np.hypot(y - 12, x - 31)
    chambers = {"right": (right < 6) & (not one_chamber), "left": left < 5, "ring": (left >= 5) & (left < 9)}
    labels = 1 * (chambers["right"] | chambers["left"]) + 2 * chambers["ring"]
    values = np.broadcast_to([[BLOOD], [BLOOD], [MYOCARDIUM]], (3, frames)) if curves is None else curves
    truth = sum(curve[:, None, None] * mask for curve, mask in zip(values, chambers.values(), strict=True)) * np.exp(0.5j)
    return case_of("heart-000", truth, np.broadcast_to(labels, truth.shape), 0.5 + x / 20)


def bolus(frames=24):
    """Curves that peak in frames 5, 10 and 14, counted from 0."""
    t = np.arange(frames)
    return np.stack([2 + height * np.exp(-(((t - peak) / 2.5) ** 2)) for height, peak in ((20, 5), (20, 10), (6, 14))])


def phantom(name, g_map, acceleration):
    """Two bottles of signal 30 and 10."""
    y, x = np.mgrid[:32, :40]
    labels = 1 * (np.hypot(y - 16, x - 10) < 8) + 2 * (np.hypot(y - 16, x - 29) < 8)
    return case_of(name, np.array([0, 30, 10])[labels][None] + 0j, labels[None], g_map, acceleration)


def stripes(name, values, shape, g_map):
    """Stripes of labels 1, 2, ... along columns with the given signals."""
    labels = np.broadcast_to(1 + np.arange(shape[2]) * len(values) // shape[2], shape)
    return case_of(name, np.array([0, *values])[labels] + 0j, labels, np.full(g_map, 2.0), (2, 2) if len(g_map) == 3 else 2)


def content(path, figure):
    """A figure as a small picture `[height, width, 3]` that is not blank."""
    figure.set_dpi(40)
    pictures.save(figure, path)
    image = imread(path)[..., :3]
    assert image.shape[1] == 480
    assert image.shape[0] > 100
    assert np.std(image) > 0.1
    return image


def test_cine(tmp_path):
    case = heart()
    outputs = {
        "perfect": Output(case.truth, np.where(case.labels > 0, 0.5, 0)),  # no noise beside the heart
        "halved": Output(0.5 * case.truth, np.full(case.truth.shape[1:], 0.5, np.float32)),
        "identity": Output(case.noisy),
        "magnitude": Output(np.abs(case.truth)),
    }
    figure, found = figure_4(case, outputs)
    assert list(found) == ["raw", "noise-free", *outputs]
    perfect, halved = found["perfect"], found["halved"]
    assert perfect["SNR blood pool"] == pytest.approx(BLOOD / 0.5)
    assert perfect["SNR myocardium"] == pytest.approx(MYOCARDIUM / 0.5)
    assert perfect["CNR"] == pytest.approx((BLOOD - MYOCARDIUM) / 0.5)
    assert (perfect["RMSE"], perfect["fidelity blood pool"]) == pytest.approx((0, 1), abs=1e-5)
    assert halved["SNR blood pool"] == pytest.approx(BLOOD)
    assert (halved["fidelity blood pool"], halved["fidelity myocardium"]) == pytest.approx((0.5, 0.5))
    share = case.region(1).sum() / (case.region(1) | case.region(2)).sum()
    assert halved["RMSE"] == pytest.approx(0.5 * np.sqrt(share * BLOOD**2 + (1 - share) * MYOCARDIUM**2), rel=1e-4)
    assert found["magnitude"] == pytest.approx(
        {k: v for k, v in perfect.items() if "SNR" not in k and "fid" not in k and k != "CNR"}, abs=1e-4
    )
    assert found["noise-free"]["removed noise, correlation with g"] > 0.8
    assert found["identity"]["removed noise, correlation with g"] == 0
    content(tmp_path / "figure.png", figure)


def test_raw_figures_are_those_of_table_3(scan_case):
    _, found = figure_4(scan_case, {"identity": Output(scan_case.noisy, scan_case.g_map)})
    for name, region in generalisation.raw(scan_case).regions.items():
        assert found["raw"][f"SNR {name}"] == found["identity"][f"SNR {name}"] == pytest.approx(region.snr)


def test_perfusion(tmp_path):
    case = heart(curves=bolus())
    figure, found = figure_5(case, {"a tenth more": Output(1.1 * case.truth, np.ones(case.truth.shape, np.float32))})
    frames = found["frames"]
    assert frames["before the bolus"] == 1
    assert frames["right ventricle"] in (5, 6)  # counted from 1; where it is brightest over the left one
    assert (frames["left ventricle"], frames["myocardium"]) == (11, 15)
    for curve, name in zip(bolus(), ("right ventricle", "left ventricle", "myocardium"), strict=True):
        expected = 0.1 * np.sqrt(np.mean(curve**2)) / np.ptp(curve)
        assert found["a tenth more"][f"curve error {name}"] == pytest.approx(expected, rel=1e-4)
    assert found["noise-free"]["curve error myocardium"] == 0
    assert found["a tenth more"]["fidelity blood pool"] == pytest.approx(1.1)
    content(tmp_path / "figure.png", figure)


def test_ventricles_are_told_apart():
    case = heart(curves=bolus())
    masks = passage(case).masks
    middle = case.truth.shape[2] // 2
    assert masks["right ventricle"][..., middle:].any()
    assert not masks["right ventricle"][..., :middle].any()
    assert masks["left ventricle"][..., :middle].any()
    assert not masks["left ventricle"][..., middle:].any()


def test_perfusion_needs_both_ventricles():
    case = heart(curves=bolus(), one_chamber=True)
    with pytest.raises(InputError, match="heart-000: one ventricle only"):
        figure_5(case, {"identity": Output(case.noisy)})


def test_phantom(tmp_path):
    y, x = np.mgrid[:32, :40]
    of_r4 = 1 + 3 * np.exp(-((y - 16) ** 2 + (x - 14) ** 2) / 60)
    r2, r4 = phantom("phantom_r2-000", np.full((32, 40), 1.2), 2), phantom("phantom_r4-000", of_r4, 4)
    both = tuple(Output(case.truth, np.full(case.truth.shape, noise)) for case, noise in ((r2, 0.5), (r4, 2.0)))
    figure, found = figure_3(r2, r4, {"one": {"proposed": both}, "two": {"proposed": (Output(r2.noisy), Output(r4.noisy))}})
    assert list(found) == ["R = 2", "R = 4"]
    assert list(found["R = 2"]["g"].values()) == pytest.approx([1.2] * 3)
    highest, middling, lowest = (found["R = 4"]["g"][place] for place in "ABC")
    assert highest > 3.5 > middling > lowest
    assert found["R = 4"]["raw"]["noise A"] == highest
    assert found["R = 4"]["one"]["proposed"]["noise C"] == 2
    mean = np.abs(r2.truth[r2.region(1) | r2.region(2)]).mean()
    assert found["R = 2"]["one"]["proposed"]["SNR water"] == pytest.approx(mean / 0.5)
    assert found["R = 4"]["one"]["proposed"]["SNR water"] == pytest.approx(mean / 2)
    assert "SNR water" not in found["R = 2"]["two"]["proposed"]
    content(tmp_path / "figure.png", figure)


def test_phantoms_are_the_same_bottles():
    r2, r4 = phantom("phantom_r2-000", np.ones((32, 40)), 2), phantom("phantom_r4-001", np.ones((32, 40)), 4)
    moved = replace(r4, labels=np.roll(r4.labels, 1, axis=2))
    outputs = {"network": {"proposed": (Output(r2.truth), Output(r4.truth))}}
    with pytest.raises(InputError, match="phantom_r4-001 are of different bottles"):
        figure_3(r2, moved, outputs)
    dry = [replace(case, labels=np.zeros_like(case.labels)) for case in (r2, r4)]
    with pytest.raises(InputError, match="phantom_r2-000: no points of water"):
        figure_3(*dry, outputs)
    with pytest.raises(InputError, match="two has the methods other"):
        figure_3(r2, r4, outputs | {"two": {"other": outputs["network"]["proposed"]}})


def test_anatomies(tmp_path):
    brain = stripes("mprage-000", (6.0, 9.0), (6, 20, 24), (6, 20, 24))
    spine = stripes("spine-000", (20.0, 8.0, 5.0, 10.0), (1, 24, 24), (24, 24))
    figure, found = figure_6(brain, spine, Output(2 * brain.truth), Output(spine.truth, np.full((24, 24), 0.5)))
    assert found["brain"]["noise-free"]["contrast"] == found["brain"]["proposed"]["contrast"] == pytest.approx(1.5)
    assert found["brain"]["proposed"]["signal white matter"] == pytest.approx(18)
    assert found["brain"]["raw"]["SNR grey matter"] == pytest.approx(3, rel=0.15)  # magnitudes of SNR 3 are a little too large
    assert found["spine"]["proposed"]["SNR discs"] == pytest.approx(20)
    assert found["spine"]["proposed"]["RMSE"] == 0
    content(tmp_path / "figure.png", figure)

    without = replace(spine, labels=np.where(spine.labels == 4, 3, spine.labels))
    with pytest.raises(InputError, match=r"spine-000: no points of discs \(label 4\)"):
        figure_6(brain, without, Output(brain.truth), Output(spine.truth))


def test_cases_without_what_is_measured():
    case = heart()
    bloodless = replace(case, labels=np.where(case.labels == 1, 0, case.labels))
    for figure in (figure_4, figure_5):
        with pytest.raises(InputError, match=r"heart-000: no points of blood pool \(label 1\)"):
            figure(bloodless, {"identity": Output(case.noisy)})
    with pytest.raises(InputError, match="heart-000: its card has no fov_mm"):
        figure_4(replace(case, card={"settings": case.card["settings"]}), {"identity": Output(case.noisy)})


def test_outputs_of_another_case():
    case = heart()
    broken = case.noisy.copy()
    broken[0, 0, 0] = np.nan
    for outputs, message in (
        ({}, "no output to show"),
        ({"short": Output(case.noisy[:1])}, "short: the output is"),
        ({"short": Output(case.noisy, case.g_map[1:])}, "short: the noise map is"),
        ({"broken": Output(broken)}, "broken: 1 values of the output are not finite"),
    ):
        with pytest.raises(InputError, match=f"heart-000.*{message}"):
            figure_4(case, outputs)


def test_training_samples(tmp_path):
    g = np.array([1.0, 1.5, 2.0, 3.0])
    clean = np.full((8, 40, 48), 50, np.complex64)
    g_maps = np.broadcast_to(g[:, None, None], (4, 40, 48)).astype(np.float32)
    figure, found = figure_1(clean, g_maps, NoiseSettings(), jax.random.key(0), accelerations=(2, 4, 6, 8))
    assert found["original SNR"] == pytest.approx(50)
    assert [one["acceleration"] for one in found["samples"]] == [2, 4, 6, 8]
    for one, of_map, sigma in zip(found["samples"], g, (1, 2, 4, 8), strict=True):
        assert one["sigma"] == pytest.approx(sigma)
        # the clean series' noise of 1 and that of the sample; few independent points in the disc
        assert one["SNR"] == pytest.approx(50 / np.hypot(1, sigma * of_map), rel=0.4)
    noise = found["noise"]
    assert noise["white"]["SD"] == pytest.approx(1, rel=0.02)
    assert noise["amplified"]["SD"] == pytest.approx(2, rel=0.02)
    assert noise["filtered"]["SD"] == pytest.approx(2, rel=0.1)
    assert noise["white"]["correlation along ky"] == pytest.approx(0, abs=0.03)
    assert noise["filtered"]["correlation along ky"] > 0.1
    content(tmp_path / "figure.png", figure)


def test_snr_of_a_disc():
    clean = np.full((2, 4, 4), 10j, np.complex64)
    disc = np.zeros((4, 4), bool)
    disc[1:3, 1:3] = True
    noisy = clean + np.where(np.arange(4) % 2, 3, -3)  # power 9 in the real part alone: SD 3 / sqrt(2) a component
    assert samples.region_snr(noisy, clean, disc, 0) == pytest.approx(10 * np.sqrt(2) / 3)
    assert samples.region_snr(noisy, clean, disc, 2.0) == pytest.approx(10 / np.sqrt(4.5 + 4))


def test_the_disc_is_bright_all_over():
    y, x = np.mgrid[:40, :60]
    clean = 5.0 * (np.hypot(y - 22, x - 33) < 4) + 1
    clean[15, 20] = 100  # one bright point
    row, column = np.argwhere(samples.brightest_disc(clean[None])).mean(axis=0)
    assert np.hypot(row - 22, column - 33) < 3


def test_settings_that_figure_1_does_not_show():
    clean, g_maps = np.ones((2, 8, 8), np.complex64), np.ones((7, 8, 8), np.float32)
    for settings in (NoiseSettings(order="filter_then_g"), NoiseSettings(filters=False), NoiseSettings(g_maps="ones")):
        with pytest.raises(InputError, match="take the preset paper"):
            figure_1(clean, g_maps, settings, jax.random.key(0))
    with pytest.raises(InputError, match="need"):
        figure_1(clean, g_maps[:3], NoiseSettings(), jax.random.key(0))


def test_windows():
    mask = np.zeros((30, 60), bool)
    mask[10:16, 40:58] = True
    rows, columns = panels.window_about(mask, margin=0)
    assert mask[rows, columns].sum() == mask.sum()
    assert (rows.stop - rows.start, columns.stop - columns.start) == (9, 18)
    assert panels.window_at((30, 60), (0, 59), 0.5) == (slice(0, 15), slice(30, 60))
    labels = np.zeros((30, 60), int)
    labels[20:24, 8:12], labels[20:24, 12:16] = 1, 2
    rows, columns = panels.busiest_window(labels, 0.2)
    assert rows.start <= 20 < 24 <= rows.stop
    assert columns.start <= 11 < 12 < columns.stop

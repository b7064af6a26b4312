"""The evaluation's figures where they are known beforehand."""

import csv

import numpy as np
import pytest

from snraware_jax.evaluation import in_distribution
from snraware_jax.evaluation.in_distribution import Case, evaluate, moving_pixels, table, write_csv


def case(peak_snr=8.0, frames=4, seed=0):
    """A static square and, in the upper tenth of the image, pixels that flicker."""
    rng = np.random.default_rng(seed)
    clean = np.zeros((frames, 20, 20), np.complex64)
    clean[:, 8:16, 4:16] = peak_snr
    if frames > 1:
        clean[::2, :2] = 1j * peak_snr
    noise = rng.standard_normal(clean.shape) + 1j * rng.standard_normal(clean.shape)
    return Case(f"square {seed}", clean, (clean + noise).astype(np.complex64), np.ones((20, 20), np.float32), peak_snr, 1.0)


def halve_error_of(cases):
    """A denoiser that cheats: it halves the error (6.02 dB)."""
    truth = {one.noisy.tobytes(): one.clean for one in cases}
    return lambda image, g_map: (image + truth[image.tobytes()]) / 2


def test_moving_pixels_are_the_tenth_that_moves_most():
    moving = moving_pixels(case().clean)
    assert moving is not None
    assert moving.sum() == 40
    assert moving[:2].all()
    assert moving_pixels(case(frames=1).clean) is None


def test_identity_gains_nothing_and_half_the_error_6_db():
    cases = [case(8, seed=0), case(8, seed=1), case(4, seed=2)]
    rows, outputs = evaluate(
        halve_error_of(cases),
        cases,
        baselines=False,
        others={"identity": lambda case: case.noisy},
        name="half",
        show_progress=False,
    )

    assert [(row.level, row.method, row.n) for row in rows] == [
        (4, "half", 1), (4, "identity", 1), (8, "half", 2), (8, "identity", 2),
    ]  # fmt: skip
    for row in rows:
        expected = 6.0206 if row.method == "half" else 0
        np.testing.assert_allclose([row.gain, row.median, row.moving_gain], expected, atol=1e-3)
        assert row.sd is None if row.n == 1 else row.sd == pytest.approx(0, abs=1e-3)
        assert row.seconds >= 0
    assert len(outputs) == 3
    np.testing.assert_array_equal(outputs[1]["identity"], cases[1].noisy)


def test_smoothing_over_time_gains_overall_and_loses_where_it_moves():
    cases = [case()]
    average = lambda y, g: np.broadcast_to(y.mean(axis=0), y.shape)
    (row,), _ = evaluate(average, cases, baselines=False, show_progress=False)
    assert row.moving_gain is not None
    assert row.moving_gain < -3

    still = Case("still", cases[0].clean[:1], cases[0].noisy[:1], cases[0].g_map, 8, 1.0)
    (row,), _ = evaluate(lambda y, g: y, [still], baselines=False, show_progress=False)
    assert row.moving_gain is None


def test_baselines_run_beside_the_network():
    rows, outputs = evaluate(lambda y, g: y, [case(4), case(8)], show_progress=False)
    assert [row.method for row in rows] == 2 * ["network", "Gaussian", "TV-3D"]
    assert list(outputs[0]) == ["network", "Gaussian", "TV-3D"]
    assert all(row.gain > 1 for row in rows if row.method != "network")


def test_the_network_sees_every_shape_once_before_its_time_is_taken():
    shapes = []

    def denoise(y, g):
        shapes.append(len(y))
        return y

    evaluate(denoise, [case(frames=4), case(frames=2, seed=1), case(frames=4, seed=2)], baselines=False, show_progress=False)
    assert sorted(shapes[:2]) == [2, 4]
    assert shapes[2:] == [4, 2, 4]


def test_table_and_csv(tmp_path):
    cases = [case(8, seed=0), case(8, seed=1), case(4, seed=2)]
    rows, _ = evaluate(
        halve_error_of(cases), cases, baselines=False, others={"identity": lambda case: case.noisy}, show_progress=False
    )

    assert "squared error of magnitudes; mean over series" in table(rows, magnitude=True)
    lines = table(rows).splitlines()
    starred = [line.split()[:2] for line in lines if "*" in line]
    assert starred == [["4", "network"], ["8", "network"]]
    assert max(map(len, lines)) <= 120
    assert "6.02" in lines[3]
    assert "  -  " in lines[3]  # no SD of one series

    write_csv(rows, tmp_path / "table.csv")
    with open(tmp_path / "table.csv", newline="") as file:
        read = list(csv.DictReader(file))
    assert [(float(r["peak_snr"]), r["method"]) for r in read] == [(row.level, row.method) for row in rows]
    assert float(read[0]["gain_db"]) == rows[0].gain
    assert read[0]["gain_sd_db"] == ""


@pytest.mark.parametrize(
    ("denoise", "others", "message"),
    [
        (lambda y, g: y[0], None, r"network on square 0 returned \(20, 20\)"),
        (lambda y, g: y * np.nan, None, "1600 values that are not finite"),
        (lambda y, g: y, {"network": lambda case: case.noisy}, "two methods are called 'network'"),
    ],
)
def test_refusals(denoise, others, message):
    with pytest.raises(ValueError, match=message):
        evaluate(denoise, [case()], baselines=False, others=others, show_progress=False)


def test_no_cases():
    with pytest.raises(ValueError, match="no cases"):
        in_distribution.evaluate(lambda y, g: y, [])

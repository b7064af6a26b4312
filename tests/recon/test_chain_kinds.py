"""Every kind of scan through the whole chain: the right complex signal, and unit noise.

The signal of noise-free k-space is compared with the combination of the full data that theory expects, computed in NumPy, and its
level with that of the object. The noise is that of replicas with the covariance of the noise scan, sent through the frozen chain.
"""

import json
from typing import NamedTuple

import numpy as np
import pytest

from snraware_jax.errors import InputError
from snraware_jax.formats.mrd import read_scan, read_scans, write_scan, write_scans
from snraware_jax.formats.scan import RawScan
from snraware_jax.recon import chain, gating
from tests.formats.raw import edit, is_imaging
from tests.recon.phantom import complex_normal, object_and_coils, replace, to_image, to_kspace

pytestmark = pytest.mark.xdist_group("chain kinds")

GRID = (47, 39)
TPAT_GRID = (48, 39)
CALIBRATION = ((11, 36),)
REPLICAS = 200
COILS = 8
MIXING = np.eye(COILS) + 0.15 * complex_normal(np.random.default_rng(7), COILS, COILS)  # of the receivers: whitening undoes it


class Acquired(NamedTuple):
    """A noisy scan, its full k-space without noise `[T, C, (kz,) ky, kx_oversampled]`, and the coil images `[T, C, (kz,) ky, kx]`."""

    scan: RawScan
    clean: np.ndarray
    seen: np.ndarray


def body(grid, sharpness=1):
    """Image and coil maps of unit norm on `((kz,) ky, kx)`; with `sharpness` the coils differ more, as R = 5 needs of eight."""
    image, maps = object_and_coils(COILS, *grid) if len(grid) == 2 else ball_and_coils(grid)
    return image, maps**sharpness / np.linalg.norm(maps**sharpness, axis=0)


def ball_and_coils(grid):
    """The same kind of object in a volume; its coils lie alternately before and behind it."""
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, size, False) for size in grid), indexing="ij")
    radius = np.sqrt((z / 0.7) ** 2 + (y / 0.75) ** 2 + (x / 0.6) ** 2)
    smooth_phase = np.exp(1j * (0.8 * x - 0.5 * y + 0.4 * z))
    image = (1 / (1 + np.exp(12 * (radius - 1)))) * (1 + 0.3 * np.cos(3 * x + 2 * y - z)) * smooth_phase
    number = np.arange(COILS)[:, None, None, None]
    angle, side = 2 * np.pi * number / COILS, np.where(number % 2, 1.2, -1.2)
    distance = (z - side) ** 2 + (y - 1.3 * np.sin(angle)) ** 2 + (x - 1.3 * np.cos(angle)) ** 2
    return image, np.exp(-0.5 * distance + 1j * (angle + x * np.cos(2 * angle) - y * np.sin(angle) + z * side))


def pattern(grid, acceleration, frames):
    """The lines `[T, (kz,) ky]` that each frame samples: phase t of the pattern, as TPAT does."""
    along_ky, along_kz = acceleration if isinstance(acceleration, tuple) else (acceleration, 1)
    lines = np.arange(grid[-2]) % along_ky == np.arange(frames)[:, None] % along_ky
    if len(grid) == 2:
        return lines
    partitions = np.arange(grid[0]) % along_kz == (np.arange(frames)[:, None] // along_ky) % along_kz
    return partitions[:, :, None] & lines[:, None]


def acquire(
    grid=GRID, acceleration=2, brightness=(1.0, 1.0), calibration=CALIBRATION, echo=None, seed=0, turn=0, sharpness=1, **fields
) -> Acquired:
    """Scan `body`: frame t is `brightness[t]` times as bright. `calibration`, `echo`: (first, end) of the lines, of the columns."""
    rng = np.random.default_rng(seed)
    image, maps = body(grid, sharpness)
    colour = lambda white: np.einsum("dc,tc...->td...", MIXING, white)
    seen = colour(np.asarray(brightness).reshape(-1, *[1] * maps.ndim) * 60 * image * np.roll(maps, turn, axis=0))
    readout = grid[-1]
    columns = slice(*(echo or (0, 2 * readout)))
    within = np.zeros(2 * readout)
    within[columns] = 1
    # object in the central half of a field of view that is oversampled twofold, its centre at the index `readout`
    margins = (readout - readout // 2, readout // 2)
    axes = tuple(range(2, seen.ndim))
    clean = within * to_kspace(np.pad(seen, [(0, 0)] * (seen.ndim - 1) + [margins]), axes)
    noisy = clean + within * colour(complex_normal(rng, *clean.shape))
    acquired = pattern(grid, acceleration, len(clean))
    block = None
    if calibration is not None:
        reference = clean[:1] + within * colour(complex_normal(rng, 1, *clean.shape[1:]))
        block = reference[0][:, *(slice(*lines) for lines in calibration)].astype(np.complex64)
    dwell_us, noise_dwell_us, bandwidth = 2.5, 5.0, 0.8
    # Var(noise sample) = Var(imaging sample) t_d b/t_n
    noise = colour(complex_normal(rng, 1, COILS, 8192))[0] * np.sqrt(dwell_us * bandwidth / noise_dwell_us)
    scan = RawScan(
        name="scan.h5",
        noise=noise.astype(np.complex64),
        kspace=np.where(acquired[:, None, ..., None], noisy, 0).astype(np.complex64),
        acquired=acquired,
        calibration=block,
        calibration_start=None if calibration is None else tuple(first for first, _ in calibration),
        acceleration=acceleration,
        readout=readout,
        dwell_us=dwell_us,
        noise_dwell_us=noise_dwell_us,
        bandwidth=bandwidth,
        fov_mm=(240.0, 200.0),
        echo_samples=echo and echo[1] - echo[0],
    )
    return Acquired(replace(scan, **fields), clean, seen)


def noise_replicas(scan: RawScan, count: int = REPLICAS, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """K-space of `count` frames that hold the scan's noise alone, and the lines of each: those of the scan's frames in turn."""
    covariance = scan.noise.astype(np.complex128) @ scan.noise.conj().T / (scan.noise.shape[1] - 1)
    factor = np.linalg.cholesky(covariance) * np.sqrt(scan.noise_dwell_us / (2 * scan.dwell_us * scan.bandwidth))
    noise = np.einsum("dc,tc...->td...", factor, complex_normal(np.random.default_rng(seed), count, *scan.kspace.shape[1:]))
    acquired = np.resize(scan.acquired, (count, *scan.acquired.shape[1:]))
    sampled = scan.kspace.any(axis=tuple(range(scan.kspace.ndim - 1)))
    return np.where(acquired[:, None, ..., None] & sampled, noise, 0).astype(np.complex64), acquired


def assert_unit_noise(plan: chain.Plan, kspace: np.ndarray, acquired: np.ndarray) -> None:
    """Of replicas: SD 1 after the division by g, so g before it; on the average, at every pixel, in both parts."""
    image = np.asarray(chain.apply(plan, kspace, acquired))
    sd = np.sqrt(np.mean(np.abs(image) ** 2, axis=0) / 2)
    assert np.sqrt(np.mean(sd**2)) == pytest.approx(1, abs=0.005)
    standard_error = 1 / np.sqrt(4 * len(kspace))
    assert np.abs(sd - 1).max() < 6 * standard_error
    assert sd.std() == pytest.approx(standard_error, rel=0.15)
    assert image.real.std() == pytest.approx(image.imag.std(), rel=0.01)


def expected_image(plan: chain.Plan, scan: RawScan, full: np.ndarray, acquired: np.ndarray) -> np.ndarray:
    """S = sqrt(f)/R sum_c conj(map_c) a_c / g, a_c the coil images of full k-space; f: lines and samples over those acquired."""
    *lines, readout = plan.g_map.shape
    own, finer = full.shape[2:], (*lines, readout * full.shape[-1] // scan.readout)
    white = np.einsum("dc,tc...->td...", np.asarray(plan.whitening), full)
    padded = np.zeros((*white.shape[:2], *finer), complex)
    padded[:, :, *(slice(new // 2 - old // 2, new // 2 - old // 2 + old) for new, old in zip(finer, own, strict=True))] = white
    start = finer[-1] // 2 - readout // 2
    images = to_image(padded, tuple(range(2, full.ndim)))[..., start : start + readout]
    images = images * np.sqrt(np.prod(finer) / np.prod(own))
    combined = np.sum(np.asarray(plan.coil_maps).conj() * images, axis=1)
    share = np.mean(acquired, axis=tuple(range(1, acquired.ndim))).reshape(-1, *[1] * (combined.ndim - 1))
    return combined / np.sqrt(share * plan.echo_share) / np.prod(plan.acceleration) / np.asarray(plan.g_map)


def level(plan: chain.Plan, seen: np.ndarray) -> np.ndarray:
    """|S| g of the object at the pixels of the scan, |L^-1 s|/sqrt(R): no part of it is taken from the coil maps or the unmixing."""
    white = np.einsum("dc,tc...->td...", np.asarray(plan.whitening), seen)
    return np.linalg.norm(white, axis=1) / np.sqrt(np.prod(plan.acceleration))


def deviation(found, expected, where):
    """Root mean square of the difference over that of what is expected, at the pixels `where`."""
    return np.linalg.norm((found - expected)[..., where]) / np.linalg.norm(expected[..., where])


def inside(grid):
    return np.abs(body(grid)[0]) > 0.5


@pytest.fixture(scope="module")
def cine():
    return acquire(brightness=1 + 0.3 * np.cos(np.arange(4)))


@pytest.fixture(scope="module")
def plan(cine):
    return chain.calibrate(cine.scan, (2,))


def test_cine_has_the_signal_that_theory_expects_and_unit_noise(cine, plan):
    scan, where = cine.scan, inside(GRID)
    clean = np.asarray(chain.apply(plan, cine.clean, scan.acquired))
    assert deviation(clean, expected_image(plan, scan, cine.clean, scan.acquired), where) < 0.01
    assert deviation(np.abs(clean) * plan.g_map, level(plan, cine.seen), where) < 0.015
    assert np.mean(np.asarray(plan.g_map)[where]) > 1.01  # so that unit noise says something about g
    assert_unit_noise(plan, *noise_replicas(scan))

    series = chain.reconstruct(scan, (2,))
    assert series.image.shape == (4, *GRID)
    assert (series.g_map.shape, series.g_maps.shape) == (GRID, (1, *GRID))
    noise = series.image - clean
    np.testing.assert_allclose([noise.real.std(), noise.imag.std()], 1, atol=0.03)
    assert abs(np.vdot(noise, clean)) / np.linalg.norm(clean) ** 2 < 0.01


def test_frames_of_any_number_share_one_calibration_program(cine, plan):
    programs = chain._calibration_program.cache_info().currsize
    chain.reconstruct(replace(cine.scan, kspace=cine.scan.kspace[:3], acquired=cine.scan.acquired[:3]), (2,))
    assert chain._calibration_program.cache_info().currsize == programs


def test_perfusion_keeps_the_time_course_of_its_repetitions(tmp_path):
    curve = np.array([1.0, 0.1, 0.2, 0.9, 1.6, 1.2, 0.7])
    made = acquire(brightness=curve)
    write_scan(tmp_path / "perfusion.h5", made.scan)

    def as_repetitions(rows):
        rows["head"]["idx"]["repetition"], rows["head"]["idx"]["phase"] = rows["head"]["idx"]["phase"].copy(), 0
        return rows

    edit(tmp_path / "perfusion.h5", as_repetitions)
    series = chain.reconstruct(read_scan(tmp_path / "perfusion.h5"), (2,))
    assert series.image.shape == (7, *GRID)
    # projected on the first frame: complex, so that the noise of 600 pixels averages out
    weight = series.image[0, inside(GRID)]
    found = (series.image[:, inside(GRID)] @ weight.conj()).real / np.linalg.norm(weight) ** 2
    share = made.scan.acquired.mean(axis=1)
    np.testing.assert_allclose(found * np.sqrt(share / share[0]), curve, atol=0.01)


FRAMES, PHASES = 24, 10


def motion(place):
    return 1 + 0.3 * np.cos(2 * np.pi * place) + 0.1 * np.sin(4 * np.pi * place)


@pytest.fixture(scope="module")
def beating():
    """Frames in no order, jittered about even places of the cycle."""
    rng = np.random.default_rng(3)
    cycle = rng.permutation((np.arange(FRAMES) + rng.uniform(0, 0.6, FRAMES)) / FRAMES).astype(np.float32)
    return acquire(brightness=motion(cycle), cycle=cycle)


def test_retro_gated_phases_show_the_motion(beating, plan):
    scan, where = beating.scan, inside(GRID)
    noise_free = replace(scan, kspace=np.where(scan.acquired[:, None, :, None], beating.clean, 0).astype(np.complex64))
    series = chain.reconstruct(noise_free, (2,), phases=PHASES)
    assert series.image.shape == (PHASES, *GRID)
    still = expected_image(chain.calibrate(scan, (2,)), scan, acquire(brightness=(1.0,)).clean, np.full((1, GRID[0]), 0.5))
    truth = motion(np.arange(PHASES) / PHASES)[:, None, None] * still
    scaling = np.array(series.metadata["noise_scaling"])[:, None, None]
    # of 47 lines a frame samples 23 or 24, which moves its level by 1 % either way
    assert deviation(series.image * scaling, truth, where) < 0.02


def test_retro_gated_phases_have_unit_noise_and_say_how_they_were_scaled(beating):
    power = np.zeros(PHASES)
    repeats = 8
    for seed in range(repeats):
        kspace, _ = noise_replicas(beating.scan, FRAMES, seed)
        series = chain.reconstruct(replace(beating.scan, kspace=kspace), (2,), phases=PHASES)
        power += np.mean(np.abs(series.image) ** 2, axis=(1, 2)) / (2 * repeats)
    np.testing.assert_allclose(np.sqrt(power), 1, atol=0.02)
    assert np.sqrt(np.mean(power)) == pytest.approx(1, abs=0.005)

    facts = json.loads(json.dumps(series.metadata))
    weights = gating.phase_weights(beating.scan.cycle, PHASES)
    norm = np.linalg.norm(weights, axis=1)
    assert facts["gated_from_frames"] == FRAMES
    np.testing.assert_allclose(facts["noise_scaling"], norm, atol=1e-4)
    correlation = np.sum(weights * np.roll(weights, -1, 0), axis=1) / norm / np.roll(norm, -1)
    np.testing.assert_allclose(facts["noise_correlation_of_next_phase"], correlation, atol=1e-3)


def test_what_cannot_be_gated_is_refused(beating, cine):
    with pytest.raises(InputError, match="no trigger times.*leave out --phases"):
        chain.reconstruct(cine.scan, (2,), phases=8)
    with pytest.raises(InputError, match=r"24 frames, with a gap of .* for 24 phases.* Ask for \d+ phases"):
        chain.reconstruct(replace(beating.scan, cycle=beating.scan.cycle * 0.6), (2,), phases=24)


@pytest.fixture(scope="module")
def real_time():
    """TPAT: the frames calibrate each other; of 48 lines R = 5 samples 9 or 10."""
    return acquire(TPAT_GRID, 5, np.ones(12), calibration=None, sharpness=4)


@pytest.fixture(scope="module")
def real_time_plan(real_time):
    return chain.calibrate(real_time.scan, (5,))


def test_real_time_frames_have_the_signal_that_theory_expects(real_time, real_time_plan):
    scan = real_time.scan
    assert set(scan.acquired.sum(axis=1)) == {9, 10}
    clean = np.asarray(chain.apply(real_time_plan, real_time.clean, scan.acquired))
    expected = expected_image(real_time_plan, scan, real_time.clean, scan.acquired)
    for t in range(5):
        assert deviation(clean[t], expected[t], inside(TPAT_GRID)) < 0.05
        weight = expected[t, inside(TPAT_GRID)].conj()
        assert abs(weight @ clean[t, inside(TPAT_GRID)] / np.linalg.norm(weight) ** 2 - 1) < 0.015


def test_real_time_frames_have_unit_noise_whichever_lines_they_sample(real_time, real_time_plan):
    assert_unit_noise(real_time_plan, *noise_replicas(real_time.scan))
    image = np.asarray(chain.apply(real_time_plan, *noise_replicas(real_time.scan, 100, seed=2)))
    for phase in range(5):
        assert np.sqrt(np.mean(np.abs(image[phase::5]) ** 2) / 2) == pytest.approx(1, abs=0.02)


def test_a_real_time_scan_through_a_file(real_time, real_time_plan, tmp_path):
    write_scan(tmp_path / "realtime.h5", real_time.scan)
    scan = read_scan(tmp_path / "realtime.h5")
    assert scan.calibration is None
    series = chain.reconstruct(scan, (5,))
    assert series.image.shape == (12, *TPAT_GRID)
    assert series.metadata["calibration_lines"] == [48]
    noise = series.image - np.asarray(chain.apply(real_time_plan, real_time.clean, scan.acquired))
    np.testing.assert_allclose([noise.real.std(), noise.imag.std()], 1, atol=0.03)


def test_too_few_real_time_frames_to_calibrate_are_refused(real_time):
    few = replace(real_time.scan, kspace=real_time.scan.kspace[1:5], acquired=real_time.scan.acquired[1:5])
    with pytest.raises(InputError, match=r"own acceleration: \d calibration lines along ky; R = 5 needs 16"):
        chain.calibrate(few, (5,))


def test_slices_become_one_series_each_with_its_own_g_map(tmp_path):
    slices = [acquire(brightness=(level,), seed=i, turn=i) for i, level in enumerate((1.0, 0.6, 1.3))]
    scans = [replace(one.scan, noise=slices[0].scan.noise) for one in slices]
    write_scans(tmp_path / "slices.h5", scans)
    made = list(chain.reconstruct_all(read_scans(tmp_path / "slices.h5"), (2,)))
    series = chain.stack(made)
    assert (series.image.shape, series.g_map.shape, series.g_maps.shape) == ((3, *GRID), (3, *GRID), (1, 3, *GRID))
    assert series.metadata["slices"] == 3
    for i, (scan, truth) in enumerate(zip(scans, slices, strict=True)):
        alone = chain.reconstruct(scan, (2,))
        np.testing.assert_allclose(series.image[i], alone.image[0], atol=1e-5 * np.abs(alone.image).max())
        np.testing.assert_allclose(series.g_map[i], alone.g_map, rtol=1e-5)
        plan = chain.calibrate(scan, (2,))
        noise = series.image[i] - np.asarray(chain.apply(plan, truth.clean, scan.acquired))[0]
        np.testing.assert_allclose([noise.real.std(), noise.imag.std()], 1, atol=0.06)
    assert np.abs(series.g_map[0] - series.g_map[1]).max() > 0.05


def test_a_volume_accelerated_along_both_axes_has_the_expected_signal_and_unit_noise(tmp_path):
    grid = (14, 30, 24)
    made = acquire(grid, (2, 2), (1.0,), ((0, 14), (5, 25)))
    write_scan(tmp_path / "volume.h5", made.scan)
    scan = read_scan(tmp_path / "volume.h5")
    plan = chain.calibrate(scan, ((2, 2),))
    clean = np.asarray(chain.apply(plan, made.clean, scan.acquired))
    assert deviation(clean, expected_image(plan, scan, made.clean, scan.acquired), inside(grid)) < 0.03
    assert deviation(np.abs(clean) * plan.g_map, level(plan, made.seen), inside(grid)) < 0.05
    assert_unit_noise(plan, *noise_replicas(scan, 100))
    series = chain.reconstruct(scan, ((2, 2),))
    assert (series.image.shape, series.g_map.shape, series.g_maps.shape) == (grid, grid, (1, *grid))
    assert (series.acceleration, series.accelerations) == ((2, 2), ((2, 2),))
    noise = series.image - clean[0]
    np.testing.assert_allclose([noise.real.std(), noise.imag.std()], 1, atol=0.03)


@pytest.mark.parametrize("cut", [slice(0, 12), slice(36, 47)], ids=["before DC", "after DC"])
def test_partial_fourier_keeps_unit_noise_and_the_signal_of_its_lines(cine, plan, cut):
    acquired, full = cine.scan.acquired.copy(), cine.clean.copy()
    acquired[:, cut], full[:, :, cut] = False, 0
    scan = replace(cine.scan, acquired=acquired, kspace=np.where(acquired[:, None, :, None], cine.scan.kspace, 0))
    clean = np.asarray(chain.apply(plan, cine.clean, acquired))
    # a kernel also fills in up to two lines beyond the cut, where little signal is
    lines = np.array([GRID[0] / 2 / acquired[t].sum() for t in range(4)])[:, None, None]
    expected = expected_image(plan, scan, full, np.ones((4, 1))) * np.sqrt(2 * lines)
    assert deviation(clean, expected, inside(GRID)) < 0.03
    assert_unit_noise(plan, *noise_replicas(scan))
    series = chain.reconstruct(scan, (2,))
    assert series.image.shape == (4, *GRID)
    noise = series.image - clean
    np.testing.assert_allclose([noise.real.std(), noise.imag.std()], 1, atol=0.03)


def test_an_asymmetric_echo_has_unit_noise_and_the_expected_signal(tmp_path):
    made = acquire(calibration=((9, 38),), echo=(24, 78))
    write_scan(tmp_path / "echo.h5", made.scan)
    scan = read_scan(tmp_path / "echo.h5")
    assert scan.echo_samples == 54
    plan = chain.calibrate(scan, (2,))
    assert plan.echo_share == pytest.approx(54 / 78)
    clean = np.asarray(chain.apply(plan, made.clean, scan.acquired))
    assert deviation(clean, expected_image(plan, scan, made.clean, scan.acquired), inside(GRID)) < 0.01
    assert_unit_noise(plan, *noise_replicas(scan))
    noise = chain.reconstruct(scan, (2,)).image - clean
    np.testing.assert_allclose([noise.real.std(), noise.imag.std()], 1, atol=0.03)

    matrix = (60, 64)
    finer = chain.calibrate(scan, (2,), matrix)
    assert_unit_noise(finer, *noise_replicas(scan))
    clean = np.asarray(chain.apply(finer, made.clean, scan.acquired))
    assert deviation(clean, expected_image(finer, scan, made.clean, scan.acquired), inside(matrix)) < 0.01


@pytest.mark.parametrize(
    ("grid", "matrix"), [((24, 20), (25, 21)), ((24, 20), (31, 40)), ((23, 21), (24, 22)), ((23, 21), (45, 21))], ids=str
)
def test_zero_filling_without_acceleration_is_fourier_interpolation(grid, matrix):
    made = acquire(grid, 1, (1.0,), ((0, grid[0]),))
    scan = made.scan
    plan = chain.calibrate(scan, (1,), matrix)
    assert plan.g_map.shape == matrix
    clean = np.asarray(chain.apply(plan, made.clean, scan.acquired))
    expected = expected_image(plan, scan, made.clean, scan.acquired)
    np.testing.assert_allclose(clean, expected, atol=1e-4 * np.abs(expected).max())
    # the combined image interpolated: coil maps are smooth, so it hardly matters whether one interpolates before or after
    kspace = to_kspace(level(plan, made.seen) * np.exp(1j * np.angle(body(grid)[0])), (-2, -1))
    finer = np.zeros((1, *matrix), complex)
    finer[:, *(slice(new // 2 - old // 2, new // 2 - old // 2 + old) for new, old in zip(matrix, grid, strict=True))] = kspace
    combined = to_image(finer, (-2, -1)) * np.sqrt(np.prod(matrix) / np.prod(grid))
    where = np.abs(combined[0]) > 0.5 * np.abs(combined).max()
    assert deviation(np.abs(clean), np.abs(combined), where) < 0.02
    assert_unit_noise(plan, *noise_replicas(scan))


def test_zero_filling_an_accelerated_scan_evaluates_g_on_the_finer_grid(cine, plan):
    matrix = (60, 64)
    finer = chain.calibrate(cine.scan, (2,), matrix)
    clean = np.asarray(chain.apply(finer, cine.clean, cine.scan.acquired))
    expected = expected_image(finer, cine.scan, cine.clean, cine.scan.acquired)
    assert deviation(clean, expected, inside(matrix)) < 0.01
    assert_unit_noise(finer, *noise_replicas(cine.scan))
    series = chain.reconstruct(cine.scan, (2,), matrix=matrix)
    assert (series.image.shape, series.g_map.shape, series.g_maps.shape) == ((4, *matrix), matrix, (1, *matrix))
    # where grids have a pixel in common, the centre, both say the same
    assert float(finer.g_map[30, 32]) == pytest.approx(float(plan.g_map[23, 19]), rel=0.01)
    before = np.asarray(chain.apply(plan, cine.clean, cine.scan.acquired))
    np.testing.assert_allclose(np.abs(clean[:, 30, 32]), np.abs(before[:, 23, 19]), rtol=0.02)


FAULTY = {
    "a channel stored twice": ([0, 1, 2, 3, 4, 5, 6, 7, 0], np.ones(9), "singular .*stored twice"),
    "dead coils": (range(8), np.array([1, 1, 0, 1, 1, 1e-5, 1, 1]), "coils 2, 5 of 8 .from 0. disconnected, left out"),
}


@pytest.mark.parametrize("fault", FAULTY)
def test_what_is_survived_with_a_warning_has_unit_noise_and_the_expected_signal(fault):
    coils, gains, message = FAULTY[fault]
    made = acquire()
    faulty = lambda x, axis: np.take(x, list(coils), axis) * gains.reshape(-1, *[1] * (x.ndim - 1 - axis)).astype(np.complex64)
    scan = made.scan
    kspace, acquired = noise_replicas(scan)
    scan = replace(scan, noise=faulty(scan.noise, 0), kspace=faulty(scan.kspace, 1), calibration=faulty(scan.calibration, 0))
    with pytest.warns(UserWarning, match=message):
        plan = chain.calibrate(scan, (2,))
    assert_unit_noise(plan, faulty(kspace, 1), acquired)
    with pytest.warns(UserWarning, match=message):
        series = chain.reconstruct(scan, (2,))
    assert np.isfinite(series.image).all()
    clean = np.asarray(chain.apply(plan, faulty(made.clean.astype(np.complex64), 1), scan.acquired))
    expected = expected_image(plan, scan, faulty(made.clean, 1), scan.acquired)
    assert deviation(clean, expected, inside(GRID)) < 0.01
    assert (series.image - clean).std() / np.sqrt(2) == pytest.approx(1, abs=0.03)


def test_few_equations_give_unreliable_g_but_unit_noise():
    made = acquire(calibration=((19, 29),))
    with pytest.warns(UserWarning, match="10 calibration lines of 8 coils give R = 2 fewer than 3 equations"):
        plan = chain.calibrate(made.scan, (2,))
    assert_unit_noise(plan, *noise_replicas(made.scan))


def test_imaging_readouts_alone_decide_what_was_acquired(cine, tmp_path):
    """Calibration readouts of a file are no imaging lines: two densities in one k-space have no single g."""
    write_scan(tmp_path / "cine.h5", cine.scan)
    edit(tmp_path / "cine.h5", lambda rows: rows[np.argsort(is_imaging(rows), kind="stable")])
    scan = read_scan(tmp_path / "cine.h5")
    np.testing.assert_array_equal(scan.acquired, cine.scan.acquired)
    np.testing.assert_array_equal(scan.kspace, cine.scan.kspace)

"""The simulated scanner: noise that its own noise scan whitens, a receiver filter, a truth that full sampling returns."""

import dataclasses

import numpy as np
import pytest

from data_pipeline.simulator import Settings, acquire, acquisition, coils, contrast, encoding, fourier, from_magnitude, sampling
from snraware_jax.errors import InputError
from snraware_jax.recon import chain

SETTINGS = Settings(matrix=(40, 48), frames=4, coils=6, calibration_lines=24, noise_readouts=256)


def plane(settings: Settings, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A disc of texture `[T, 3 ky, 3 kx]` and coil maps around it."""
    rng = np.random.default_rng(seed)
    fine = tuple(3 * n for n in settings.matrix)
    down, across = acquisition.grid_mm(fine, settings.fov_mm)
    disc = (np.hypot(down / settings.fov_mm[0], across / settings.fov_mm[1]) < 0.35) * rng.uniform(
        0.5, 1, (settings.frames, *fine)
    )
    down, across = acquisition.grid_mm((32, 32), settings.fov_mm)
    maps = coils.sensitivities(rng, settings.coils, np.stack([across, down, 0 * down]), (230.0, 180.0))
    return disc.astype(np.complex64), maps


@pytest.fixture(scope="module", params=[(40, 48), (39, 47)], ids=["even", "odd"])
def scanned(request):
    settings = dataclasses.replace(SETTINGS, matrix=request.param)
    images, maps = plane(settings)
    return acquire(images, maps, settings, np.random.default_rng(5), "disc")


def centre(size: int, part: int) -> slice:
    """The central samples that readout oversampling removal keeps."""
    return slice(size // 2 - part // 2, size // 2 - part // 2 + part)


def whitening(scan) -> np.ndarray:
    """W = sqrt(2 t_d/t_n b) L^-1 from the noise scan alone."""
    covariance = scan.noise @ scan.noise.conj().T / (scan.noise.shape[1] - 1)
    factor = np.sqrt(2 * scan.dwell_us / scan.noise_dwell_us * scan.bandwidth)
    return factor * np.linalg.inv(np.linalg.cholesky(covariance.astype(np.complex128)))


def whitened_noise(scan, noise: np.ndarray) -> np.ndarray:
    """Whitened noise as readout images, `[C, n, kx_oversampled]`, from k-space `[..., C, lines, kx_oversampled]`."""
    readout = fourier.transform(noise, -1, inverse=True)
    return np.einsum("cd,tdyx->ctyx", whitening(scan), readout).reshape(noise.shape[1], -1, noise.shape[-1])


def test_the_noise_scan_whitens_the_imaging_noise(scanned):
    scan = scanned.scan
    lines = scan.acquired[0]
    white = whitened_noise(scan, (scan.kspace - scanned.noise_free)[:, :, lines])
    inside = white[:, :, centre(white.shape[-1], scan.readout)].reshape(len(white), -1)
    samples = inside.shape[1]
    covariance = inside @ inside.conj().T / samples / 2  # of unit noise: the identity
    # standard error of the imaging samples and of the noise scan, five of them
    error = 5 * np.sqrt(1 / samples + 1 / scan.noise.shape[1])
    np.testing.assert_allclose(covariance, np.eye(len(white)), atol=error)
    np.testing.assert_allclose([inside.real.std(), inside.imag.std()], 1, atol=error)


def test_the_receiver_rolls_off_at_the_edges_alone(scanned):
    scan = scanned.scan
    white = whitened_noise(scan, (scan.kspace - scanned.noise_free)[:, :, scan.acquired[0]])
    profile = np.sqrt(np.mean(np.abs(white) ** 2, axis=(0, 1)) / 2)
    middle, wide = centre(len(profile), scan.readout), len(profile)
    tolerance = 5 / np.sqrt(2 * white.shape[0] * white.shape[1])
    np.testing.assert_allclose(profile[middle], 1, atol=tolerance + 0.05)
    np.testing.assert_allclose(profile[0], 0.39, atol=tolerance)
    assert profile[wide // 16] < 0.75


def test_the_bandwidth_is_that_of_a_siemens_receiver(scanned):
    assert scanned.scan.bandwidth == pytest.approx(0.793, abs=0.01)


def test_calibration_lines_have_noise_of_their_own(scanned):
    scan = scanned.scan
    (start,), lines = scan.calibration_start, scan.calibration.shape[1]
    both = scan.acquired[0, start : start + lines]
    clean = scanned.noise_free[0, :, start : start + lines][:, both]
    imaging = scan.kspace[0, :, start : start + lines][:, both] - clean
    calibration = scan.calibration[:, both] - clean
    np.testing.assert_allclose(calibration.std() / imaging.std(), 1, atol=0.1)
    assert abs(np.vdot(calibration, imaging)) / (np.linalg.norm(calibration) * np.linalg.norm(imaging)) < 0.1


def test_noise_correlation_is_as_large_as_asked():
    settings = dataclasses.replace(SETTINGS, noise_correlation=(0.3, 0.3))
    images, maps = plane(settings)
    noise = acquire(images, maps, settings, np.random.default_rng(1), "disc").scan.noise
    correlation = np.abs(np.corrcoef(noise)) - np.eye(settings.coils)
    assert correlation.max() == pytest.approx(0.3, abs=0.04)


def test_full_sampling_returns_the_truth():
    """R = 1, no noise: whitened coil images combined with their own unit-norm maps are the truth."""
    settings = dataclasses.replace(SETTINGS, acceleration=1)
    images, maps = plane(settings)
    acquired = acquire(images, maps, settings, np.random.default_rng(2), "disc")
    hybrid = fourier.transform(acquired.noise_free, -1, inverse=True, keep=settings.matrix[1])
    white = np.einsum("cd,tdyx->tcyx", whitening(acquired.scan), fourier.transform(hybrid, -2, inverse=True))
    white_maps = np.einsum("cd,dyx->cyx", whitening(acquired.scan), coils.resample(maps, settings.matrix))
    unit = white_maps / np.sqrt(np.sum(np.abs(white_maps) ** 2, axis=0))
    combined = np.einsum("cyx,tcyx->tyx", unit.conj(), white)
    # the noise scan knows the covariance to a per cent
    error = np.linalg.norm(combined - acquired.truth) / np.linalg.norm(acquired.truth)
    assert error < 0.03


def test_truth_is_the_object_times_the_sum_of_squares():
    settings = dataclasses.replace(SETTINGS, frames=1)
    _, maps = plane(settings)
    down, across = acquisition.grid_mm((120, 144), settings.fov_mm)
    smooth = np.exp(-(down**2 + across**2) / 45**2)[None].astype(np.complex64)
    acquired = acquire(smooth, maps, settings, np.random.default_rng(3), "blob")
    truth = np.abs(acquired.truth[0])
    white_maps = np.einsum("cd,dyx->cyx", whitening(acquired.scan), coils.resample(maps, settings.matrix))
    sum_of_squares = np.sqrt(np.sum(np.abs(white_maps) ** 2, axis=0))
    expected = np.abs(fourier.resize(smooth, settings.matrix)[0]) * sum_of_squares
    expected *= truth.max() / expected.max()
    np.testing.assert_allclose(truth, expected, atol=0.02 * truth.max())


def test_the_phase_of_the_object_is_that_of_the_truth():
    images, maps = plane(SETTINGS)
    plain = acquire(images, maps, SETTINGS, np.random.default_rng(4), "disc").truth
    turned = acquire(images * np.exp(0.7j).astype(np.complex64), maps, SETTINGS, np.random.default_rng(4), "disc").truth
    np.testing.assert_allclose(turned, plain * np.exp(0.7j), atol=1e-4 * np.abs(plain).max())


def test_a_real_magnitude_series_keeps_its_magnitude():
    settings = dataclasses.replace(SETTINGS, matrix=(36, 45))
    magnitude = np.abs(fourier.resize(plane(SETTINGS)[0], (60, 70))).astype(np.float32)
    acquired = from_magnitude(magnitude, settings, np.random.default_rng(6), "real")
    plain = np.abs(fourier.resize(magnitude, settings.matrix))
    assert np.corrcoef(plain.ravel(), np.abs(acquired.truth).ravel())[0, 1] > 0.97
    assert np.std(np.angle(acquired.truth[plain > 0.5 * plain.max()])) > 0.1


SAMPLING = {
    "uniform": {"acceleration": 3},
    "interleaved": {"acceleration": 3, "sampling": "interleaved"},
    "partial Fourier": {"acceleration": 3, "partial_fourier": 0.7},
    "asymmetric echo": {"acceleration": 3, "echo": 0.75},
    "volume": {
        "kind": "mprage",
        "matrix": (23, 25),
        "partitions": 15,
        "coils": 4,
        "acceleration": (2, 2),
        "calibration_lines": 15,
    },
}


def volume(settings: Settings, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A ball of texture `[Z, H, W]` and a helmet's maps."""
    rng = np.random.default_rng(seed)
    shape = (settings.partitions, 30, 32)
    points = np.stack(np.meshgrid(*(200 * (np.arange(n) - n // 2) / n for n in shape), indexing="ij"))
    ball = (np.linalg.norm(points, axis=0) < 80) * rng.uniform(0.5, 1, shape)
    maps = coils.sensitivities(rng, settings.coils, points[::-1, ::2, ::2, ::2], (110.0, 125.0), "helmet")
    return ball.astype(np.complex64), maps


@pytest.mark.xdist_group("simulator")  # they share compiled programs
@pytest.mark.parametrize("kind", SAMPLING)
def test_every_sampling_comes_out_of_the_chain_in_snr_units(kind):
    """Noise of SD 1 over g, and the signal of the truth over g sqrt(R) where all of k-space counts."""
    settings = dataclasses.replace(SETTINGS, **{"matrix": (39, 47), "frames": 9, **SAMPLING[kind]})
    picture = volume(settings) if kind == "volume" else plane(settings)
    acquired = acquire(*picture, settings, np.random.default_rng(7), kind)
    scan = acquired.scan
    plan = chain.calibrate(scan, (scan.acceleration,))
    noise = np.asarray(chain.apply(plan, scan.kspace - acquired.noise_free, scan.acquired))
    error = 5 / np.sqrt(2 * noise.size) + 0.005  # of so many pixels, and of the noise scan
    assert np.sqrt(np.mean(np.abs(noise) ** 2) / 2) == pytest.approx(1, abs=error)
    assert noise.real.std() == pytest.approx(noise.imag.std(), rel=2 * error)
    if kind in ("uniform", "interleaved", "volume"):
        factor = plan.g_map * np.prod(settings.acceleration) * np.sqrt(scan.acquired.mean())
        found = np.abs(factor * np.asarray(chain.apply(plan, acquired.noise_free, scan.acquired)))
        truth = np.abs(acquired.truth).reshape(found.shape)
        body = truth > 0.2 * truth.max()
        assert np.vdot(found[body], truth[body]) / np.sum(truth[body] ** 2) == pytest.approx(1, abs=0.05)


def test_interleaved_lines_move_by_one_and_frames_calibrate_themselves():
    settings = dataclasses.replace(SETTINGS, acceleration=5, sampling="interleaved", frames=7)
    acquired = sampling.acquired_lines(settings, 7)
    np.testing.assert_array_equal(acquired[1:, 1:], acquired[:-1, :-1])
    assert acquired[0, 20]
    np.testing.assert_array_equal(acquired[:5].sum(axis=0), 1)
    scan = acquire(*plane(settings), settings, np.random.default_rng(0), "disc").scan
    assert (scan.calibration, scan.calibration_start) == (None, None)


@pytest.mark.parametrize("matrix", [(40, 48), (39, 47)], ids=["even", "odd"])
def test_a_part_of_kspace_is_missing_before_dc(matrix):
    settings = dataclasses.replace(SETTINGS, matrix=matrix, partial_fourier=0.7, echo=0.8, acceleration=1)
    acquired = acquire(*plane(settings), settings, np.random.default_rng(0), "disc")
    scan, (ky, wide) = acquired.scan, acquired.scan.kspace.shape[-2:]
    lines, echo = int(np.ceil(0.7 * ky)), int(np.ceil(0.8 * wide))
    assert scan.echo_samples == echo
    held = np.broadcast_to((np.arange(ky) >= ky - lines)[:, None] & (np.arange(wide) >= wide - echo), scan.kspace.shape)
    np.testing.assert_array_equal(scan.kspace != 0, held)
    np.testing.assert_array_equal(acquired.noise_free[~held], 0)
    np.testing.assert_array_equal(scan.calibration[..., : wide - echo], 0)
    assert scan.calibration.shape[1] == 24


def test_slices_of_a_study_share_receivers_and_scale():
    images, maps = plane(SETTINGS)
    first = acquire(images, maps, SETTINGS, np.random.default_rng(0), "first")
    second = acquire(0.5 * images, maps, SETTINGS, np.random.default_rng(1), "second", None, first.receiver, first.scale)
    np.testing.assert_array_equal(second.scan.noise, first.scan.noise)
    np.testing.assert_allclose(second.truth, 0.5 * first.truth, atol=1e-4 * np.abs(first.truth).max())
    noise = [one.scan.kspace - one.noise_free for one in (first, second)]
    assert abs(np.vdot(*noise)) < 0.01 * np.linalg.norm(noise[0]) * np.linalg.norm(noise[1])
    assert noise[1].std() == pytest.approx(noise[0].std(), rel=0.02)


def test_the_same_bytes_come_from_any_number_of_threads(monkeypatch):
    picture = plane(SETTINGS)
    made = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(encoding, "THREADS", threads)
        acquired = acquire(*picture, SETTINGS, np.random.default_rng(0), "disc")
        made.append([part.tobytes() for part in (acquired.scan.kspace, acquired.scan.calibration, acquired.truth)])
    assert made[0] == made[1] == made[2]


def test_the_grid_of_the_product_hardly_matters(monkeypatch):
    images, maps = plane(SETTINGS)
    found = acquire(images, maps, SETTINGS, np.random.default_rng(0), "disc", scale=1.0).truth
    monkeypatch.setattr(encoding, "MAP_CYCLES", 1000)
    exact = acquire(images, maps, SETTINGS, np.random.default_rng(0), "disc", scale=1.0).truth
    assert np.linalg.norm(found - exact) < 0.003 * np.linalg.norm(exact)


def test_a_piece_of_an_image_keeps_its_place():
    x = np.random.default_rng(0).standard_normal((2, 30)) + 0j
    piece = np.where((np.arange(30) >= 19) & (np.arange(30) < 26), x, 0)
    found = fourier.transform(x[:, 19:26], 1, pad=30, keep=11, origin=15 - 19)
    np.testing.assert_allclose(found, fourier.transform(piece, 1, keep=11), atol=1e-12)


@pytest.mark.parametrize(("pad", "keep"), [(None, None), (20, 9), (21, 10), (13, 12)])
@pytest.mark.parametrize("size", [12, 13], ids=["even", "odd"])
def test_transform_pads_and_keeps_around_the_centre(size, pad, keep):
    x = np.random.default_rng(0).standard_normal((3, size, 2)) + 0j
    total, kept = pad or size, keep or pad or size
    position = np.arange(size) - size // 2
    frequency = np.arange(kept) - kept // 2
    dft = np.exp(-2j * np.pi * np.outer(frequency, position) / total) / np.sqrt(total)
    np.testing.assert_allclose(fourier.transform(x, 1, pad=pad, keep=keep), np.einsum("kn,anb->akb", dft, x), atol=1e-12)


def test_an_object_coarser_than_the_matrix_is_refused():
    images, maps = plane(SETTINGS)
    with pytest.raises(InputError, match="use a finer one"):
        acquire(images[:, ::6, ::6], maps, SETTINGS, np.random.default_rng(0), "coarse")


def test_too_few_interleaved_frames_are_refused():
    settings = dataclasses.replace(SETTINGS, acceleration=5, sampling="interleaved", frames=5)
    images, maps = plane(settings)
    with pytest.raises(InputError, match="4 frames of interleaved lines.*simulate 5"):
        acquire(images[:4], maps, settings, np.random.default_rng(0), "short")
    with pytest.raises(InputError, match="frames is 4.*give 5 or more"):
        dataclasses.replace(settings, frames=4)


def test_an_empty_object_is_refused():
    images, maps = plane(SETTINGS)
    with pytest.raises(InputError, match="nothing to scan"):
        acquire(0 * images, maps, SETTINGS, np.random.default_rng(0), "empty")


def test_magnitudes_are_no_volume():
    settings = dataclasses.replace(SETTINGS, kind="mprage", acceleration=(2, 1))
    with pytest.raises(InputError, match="another kind than mprage"):
        from_magnitude(np.ones((2, 64, 64)), settings, np.random.default_rng(0), "volume")


def test_negative_magnitudes_are_refused():
    with pytest.raises(InputError, match="non-negative magnitudes"):
        from_magnitude(-np.ones((2, 64, 64)), SETTINGS, np.random.default_rng(0), "negative")


@pytest.mark.parametrize("off_resonance", [0.0, 60.0, -140.0, 250.0, -440.0])
def test_steady_state_is_the_fixed_point_of_the_bloch_equations(off_resonance):
    """M after a pulse, from M = R(a) [rotate and relax over TR] M, with alternating pulses, against the closed form at TE."""
    t1, t2, tr, flip = 1100.0, 48.0, 3.0, np.deg2rad(50)
    angle = 2e-3 * np.pi * off_resonance * tr

    def free(duration: float, turn: float) -> tuple[np.ndarray, np.ndarray]:
        e1, e2 = np.exp(-duration / t1), np.exp(-duration / t2)
        matrix = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]) * [[e2], [e2], [e1]]
        return matrix, np.array([0, 0, 1 - e1])

    relax, grow = free(tr, angle)
    pulse = np.array([[np.cos(flip), 0, np.sin(flip)], [0, 1, 0], [-np.sin(flip), 0, np.cos(flip)]])
    alternate = np.diag([-1.0, -1.0, 1.0])  # the frame turns by 180 degrees with the phase of the pulses
    after = np.linalg.solve(np.eye(3) - pulse @ alternate @ relax, pulse @ (alternate @ grow))
    half, half_grow = free(tr / 2, angle / 2)
    echo = half @ after + half_grow

    closed = complex(contrast.steady_state(t1, t2, 1.0, flip, tr, off_resonance))
    assert closed == pytest.approx(complex(echo[0], echo[1]), abs=1e-9)

"""Tiling: parity with the authors' sliding window, and what must hold for any network."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from snraware_jax.errors import InputError
from snraware_jax.inference.denoiser import make_denoiser
from snraware_jax.inference.tiles import denoise_tiled, tiled
from snraware_jax.models import ModelSettings, build


def identity(x):
    return x[..., :2]


def series(shape, seed=0):
    rng = np.random.default_rng(seed)
    image = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    return image.astype(np.complex64), rng.uniform(1, 3, shape[1:]).astype(np.float32)


def convolution(x, kernel):
    """Zero-padded 3-D convolution, `x [B, T, H, W, C]`, `kernel [3, 3, 3, C, D]`."""
    return jax.lax.conv_general_dilated(x, kernel, (1, 1, 1), "SAME", dimension_numbers=("NDHWC", "DHWIO", "NDHWC"))


# Case 4 (tiles of one frame) is left out: its stored output mixes up tiles and channels (pixels of the imaginary part
# are the real part of the next tile), so it is no statement about the method.
@pytest.mark.parametrize("case", [0, 1, 2, 3, 5])
def test_golden(shared, case):
    stored = np.load(shared / "goldens/misc/inference.npz")
    settings = json.loads(str(stored["index"]))[case]
    time_first = lambda name: np.moveaxis(stored[f"{case}_{name}"], -1, 0)
    kernel = stored["w"].transpose(3, 4, 2, 1, 0).transpose(2, 0, 1, 3, 4)  # [O, I, T, H, W] -> [T, H, W, I, O]

    @jax.jit
    def network(x):  # the golden's network
        return x[..., :2] + jnp.tanh(convolution(x, kernel) + stored["b"])

    scale = settings["scaling_factor"]
    h, w, t = settings["cutout"]
    overlap_h, overlap_w, overlap_t = settings["overlap"]
    result = denoise_tiled(
        network, scale * time_first("data"), stored[f"{case}_gmap"], tile=(t, h, w), overlap=(overlap_t, overlap_h, overlap_w)
    )

    np.testing.assert_allclose(result / scale, time_first("res"), atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 13, 9), (5, 8, 8), (7, 19, 23), (16, 3, 31)], ids=str)
@pytest.mark.parametrize(("tile", "overlap"), [((4, 8, 8), (2, 3, 4)), ((1, 8, 8), (0, 2, 2)), ((4, 8, 8), (3, 7, 0))], ids=str)
def test_identity_stays_identity(shape, tile, overlap):
    image, g_map = series(shape)
    result = denoise_tiled(identity, image, g_map, tile=tile, overlap=overlap, batch=3)
    assert result.dtype == np.complex64
    np.testing.assert_allclose(result, image, atol=2e-6)


def test_pointwise_network_sees_every_pixel_with_its_own_g():
    image, g_map = series((5, 11, 14))
    result = denoise_tiled(lambda x: x[..., :2] / x[..., 2:], image, g_map, tile=(2, 6, 6), overlap=(1, 2, 3))
    np.testing.assert_allclose(result, image / g_map, atol=2e-6)

    moving_g = g_map * np.arange(1, 6, dtype=np.float32)[:, None, None]
    result = denoise_tiled(lambda x: x[..., :2] / x[..., 2:], image, moving_g, tile=(2, 6, 6), overlap=(1, 2, 3))
    np.testing.assert_allclose(result, image / moving_g, atol=2e-6)


def test_one_compiled_shape():
    image, g_map = series((5, 20, 21))
    network = jax.jit(identity)
    for frames in (1, 3, 5):
        denoise_tiled(network, image[:frames], g_map, tile=(4, 8, 8), overlap=(2, 2, 2), batch=4)
    assert network._cache_size() == 1


def test_batch_size_changes_nothing():
    image, g_map = series((3, 12, 12))
    kernel = np.random.default_rng(1).standard_normal((3, 3, 3, 3, 2)).astype(np.float32)
    run = lambda batch: denoise_tiled(
        lambda x: convolution(x, kernel), image, g_map, tile=(4, 8, 8), overlap=(1, 2, 2), batch=batch
    )
    np.testing.assert_allclose(run(1), run(7), atol=1e-4)


def test_overlap_removes_seams():
    """A smoothing network that is wrong at its borders: blending hides the steps that abutting tiles show inside the image."""
    image = np.full((1, 48, 48), 10 + 10j, np.complex64)
    kernel = np.zeros((3, 3, 3, 3, 2), np.float32)
    kernel[1, :, :, 0, 0] = kernel[1, :, :, 1, 1] = 1 / 9
    network = lambda x: convolution(x, kernel)
    largest_step = {}
    for overlap in (0, 8):
        result = denoise_tiled(network, image, np.ones((48, 48)), tile=(1, 16, 16), overlap=(0, overlap, overlap))
        largest_step[overlap] = np.abs(np.diff(result[:, 8:-8, 8:-8])).max()
    assert largest_step[0] > 4
    assert largest_step[8] < 0.2 * largest_step[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"overlap": (0, 8, 2)}, "overlap 8 along H does not fit a tile of 8: choose 0 to 7"),
        ({"overlap": (-1, 2, 2)}, "overlap -1 along T"),
        ({"tile": (8, 8), "overlap": (2, 2)}, "three numbers each"),
        ({"batch": 0}, "batch is 0"),
        ({"g_map": np.ones((4, 5))}, r"g-map is \(4, 5\)"),
        ({"image": np.ones((4, 4), np.complex64)}, "one series"),
        ({"image": np.ones((0, 4, 4), np.complex64)}, "at least one pixel"),
        ({"apply": lambda x: x}, "the network returned"),
    ],
)
def test_refusals(change, message):
    arguments = {"apply": identity, "image": np.ones((2, 9, 9), np.complex64), "g_map": np.ones((9, 9))}
    arguments |= {"tile": (2, 8, 8), "overlap": (1, 2, 2)} | change
    with pytest.raises(ValueError, match=message):
        denoise_tiled(**arguments)


def test_an_image_that_the_network_does_not_take_is_refused():
    graphdef, params = nnx.split(build(ModelSettings(cells="C2", levels=2, channels=2, norm="channel", patch=(2, 8, 8))))
    denoise = make_denoiser(graphdef, params, tile=(0, 0, 0), overlap=(0, 0, 0))
    with pytest.raises(InputError, match=r"2 x 9 x 8 \(T x H x W\) at once.*multiples of 2"):
        denoise(*series((2, 9, 8)))


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 8, 8), (7, 19, 23)], ids=str)
@pytest.mark.parametrize(("tile", "overlap", "batch"), [((4, 8, 8), (2, 3, 4), 3), ((1, 8, 8), (0, 2, 2), 1)], ids=str)
def test_in_one_program(shape, tile, overlap, batch):
    kernel = 0.2 * jax.random.normal(jax.random.key(0), (3, 3, 3, 3, 2))
    network = jax.jit(lambda x: x[..., :2] + jnp.tanh(convolution(x, kernel)))
    image, g_map = series(shape)
    options = {"tile": tile, "overlap": overlap, "batch": batch}
    expected = denoise_tiled(network, image, g_map, **options)
    whole = jax.jit(tiled(network, shape, **options))
    np.testing.assert_allclose(whole(image, g_map), expected, atol=1e-5)
    np.testing.assert_allclose(whole(image, np.broadcast_to(g_map, shape)), expected, atol=1e-5)


def test_the_derivative_of_one_program():
    """Of a linear network it is the network, whatever the tiles."""
    shape = (5, 9, 11)
    (image, g_map), (change, _) = series(shape), series(shape, seed=1)
    whole = tiled(lambda x: 2 * x[..., :2] + x[..., 2:], shape, tile=(4, 8, 8), overlap=(2, 3, 4))
    _, derivative = jax.jit(lambda y, b: jax.jvp(lambda y: whole(y, g_map), (y,), (b,)))(image, change)
    np.testing.assert_allclose(derivative, 2 * change, atol=1e-5)

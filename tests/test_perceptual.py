"""The perceptual loss with random weights: VGG's arithmetic by SciPy, gradients, files that are and are not its weights."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file
from scipy import ndimage

from configs import base
from snraware_jax import losses, perceptual
from snraware_jax.errors import InputError
from snraware_jax.interop import vgg_weights
from snraware_jax.training import configuration


@pytest.fixture(scope="module")
def tensors() -> dict[str, np.ndarray]:
    """Of He's initialisation, so that features neither vanish nor grow, under torchvision's names."""
    rng, found, inputs = np.random.default_rng(0), {}, 3
    for place, outputs in zip(vgg_weights.PLACES, (width for stage in perceptual.STAGES for width in stage), strict=True):
        sd = np.sqrt(2 / (9 * inputs))
        found[f"features.{place}.weight"] = rng.normal(0, sd, (outputs, inputs, 3, 3)).astype(np.float32)
        found[f"features.{place}.bias"] = rng.normal(0, 0.1, outputs).astype(np.float32)
        inputs = outputs
    return found


@pytest.fixture(scope="module")
def weights(tensors, tmp_path_factory):
    path = tmp_path_factory.mktemp("vgg") / "vgg16.npz"
    np.savez(path, **tensors)
    return vgg_weights.load(path)


def test_the_first_two_features_by_scipy(tensors, weights):
    frame = np.random.default_rng(1).uniform(0, 50, (9, 10)).astype(np.float32)

    def convolution(channels, place):
        kernel, bias = tensors[f"features.{place}.weight"], tensors[f"features.{place}.bias"]
        of = lambda out: sum(ndimage.correlate(c, k, mode="constant") for c, k in zip(channels, kernel[out], strict=True))
        return np.maximum([of(out) + bias[out] for out in range(len(kernel))], 0)

    first = convolution(convolution([frame] * 3, 0), 2)
    pooled = first[:, :8].reshape(64, 4, 2, 5, 2).max((2, 4))
    second = convolution(convolution(pooled, 5), 7)
    found = perceptual.features(weights, jnp.asarray(frame)[None])
    for feature, expected in zip(found, (first, second), strict=False):
        np.testing.assert_allclose(np.moveaxis(feature[0], -1, 0), expected, atol=1e-4 * expected.max())
    assert [feature.shape[1:] for feature in found] == [(9, 10, 64), (4, 5, 128), (2, 2, 256), (1, 1, 512)]


def test_the_loss_is_the_distance_of_features_and_leads_to_the_target(weights):
    target = 20 + 5 * jax.lax.complex(*jax.random.normal(jax.random.key(0), (2, 1, 2, 16, 16)))
    output = target + jax.lax.complex(*jax.random.normal(jax.random.key(1), (2, 1, 2, 16, 16)))
    total = jax.jit(losses.weighted_sum({"perceptual": 1.0}))
    assert total(target, target, weights)[0] == 0
    value, gradient = jax.value_and_grad(lambda x: total(x, target, weights)[0])(output)
    features = lambda image: perceptual.features(weights, jnp.abs(image).reshape(-1, 16, 16))
    expected = sum(float(jnp.mean(jnp.abs(a - b))) for a, b in zip(features(output), features(target), strict=True))
    np.testing.assert_allclose(value, expected, rtol=1e-4)
    assert total(output - 1e-2 * jnp.conj(gradient) / jnp.linalg.norm(gradient), target, weights)[0] < value
    at_zero = jax.grad(lambda x: total(x, target, weights)[0])(0 * output)
    assert np.all(np.isfinite(at_zero))


def test_small_images_are_refused(weights):
    with pytest.raises(ValueError, match="images of 8 x 7"):
        perceptual.features(weights, jnp.zeros((1, 8, 7)))


def test_formats_give_the_same_weights(tensors, weights, tmp_path):
    save_file(tensors, tmp_path / "vgg16.safetensors")
    again = vgg_weights.load(tmp_path / "vgg16.safetensors")
    jax.tree.map(np.testing.assert_array_equal, again, weights)
    assert vgg_weights.digest(again) == vgg_weights.digest(weights)
    again[3][1][0] += 1
    assert vgg_weights.digest(again) != vgg_weights.digest(weights)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("features.5.bias"), "features.5.bias is missing"),
        (lambda t: t.update({"features.0.weight": np.zeros((64, 1, 3, 3))}), r"0.weight is \(64, 1, 3, 3\), VGG-16's is \(64, 3, 3"),
        (lambda t: t.update({"features.17.weight": 0 * t["features.17.weight"], "features.17.bias": np.full(512, -1)}), "no trace"),
        (lambda t: t.update({"features.2.bias": np.full(64, np.nan)}), "no trace"),
    ],
    ids=["missing", "shape", "dead", "nan"],
)  # fmt: skip
def test_other_weights_are_refused(change, message, tensors, tmp_path):
    changed = dict(tensors)
    change(changed)
    np.savez(tmp_path / "other.npz", **changed)
    with pytest.raises(InputError, match=message):
        vgg_weights.load(tmp_path / "other.npz")


def test_files_that_are_no_tensors_are_refused(tmp_path):
    (tmp_path / "text.npz").write_text("no tensors")
    for name, message in (("text.npz", "not an .npz"), ("none.npz", "no such file"), ("none.pth", "no such file")):
        with pytest.raises(InputError, match=message):
            vgg_weights.load(tmp_path / name)


def test_a_run_goes_on_with_the_weights_that_it_was_begun_with(tmp_path, tensors, weights):
    path = tmp_path / "vgg16.npz"
    config = base.get_config("quick")
    config.vgg_weights = str(path)
    np.savez(path, **tensors)
    configuration.keep(config, tmp_path / "run")
    configuration.keep(config, tmp_path / "run")
    digests = {start["vgg_weights"] for start in json.loads((tmp_path / "run" / "versions.json").read_text())}
    assert digests == {vgg_weights.digest(weights)}
    np.savez(path, **{name: 1.01 * tensor for name, tensor in tensors.items()})
    with pytest.raises(InputError, match="not the weights that .* was begun with"):
        configuration.keep(config, tmp_path / "run")

"""Attention beyond the goldens: Swin by brute force, tokens, masks, positions, what happens at zero and with bad sizes."""

import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from snraware_jax.models import ModelSettings, tokens
from snraware_jax.models import attention as core
from snraware_jax.models.attention import Attention, make_attention, similarity
from snraware_jax.models.windows import Grid, divide, of_levels

SETTINGS = ModelSettings(heads=2, window_heads=2, window=(2, 4, 4), relative_bias=True)
KINDS = ("T1", "L1", "G1", "V2", "V3", "S3", "Sh")


def attention(kind, size=(4, 8, 8), channels=4, **changes):
    return make_attention(kind, 3, channels, size, Grid((4, 4), (2, 2)), replace(SETTINGS, **changes), rngs=nnx.Rngs(0))


def swin_by_brute_force(q, k, v, heads, window, shifted):
    """Every pair of voxels looked at one by one: `[T, H, W, C]` x 3 -> the same."""
    sizes = q.shape[:3]
    window = [min(w, n) for w, n in zip(window, sizes, strict=True)]
    shift = [max(w // 2, 1) if shifted and n > w else 0 for w, n in zip(window, sizes, strict=True)]
    padded = [-(-n // w) * w for w, n in zip(window, sizes, strict=True)]
    q, k, v = (np.pad(x, [*((0, p - n) for p, n in zip(padded, sizes, strict=True)), (0, 0)]) for x in (q, k, v))

    def where(voxel):
        """The window of a voxel, and on which side of the seam it lies."""
        moved = [(x - s) % p for x, s, p in zip(voxel, shift, padded, strict=True)]
        seam = [
            0 if not s or m < p - w else 1 if m < p - s else 2 for m, s, p, w in zip(moved, shift, padded, window, strict=True)
        ]
        return [m // w for m, w in zip(moved, window, strict=True)], seam

    voxels = list(itertools.product(*map(range, padded)))
    places = [where(voxel) for voxel in voxels]
    unit = lambda x: x / max(np.linalg.norm(x), 1e-12)
    output = np.zeros_like(q)
    for i, voxel in enumerate(voxels):
        seen = [j for j in range(len(voxels)) if places[j][0] == places[i][0]]
        for part in np.split(np.arange(q.shape[-1]), heads):
            scores = [unit(q[voxel][part]) @ unit(k[voxels[j]][part]) - 100 * (places[j][1] != places[i][1]) for j in seen]
            weights = np.exp(scores) / np.sum(np.exp(scores))
            output[voxel][part] = sum(w * v[voxels[j]][part] for w, j in zip(weights, seen, strict=True))
    return output[tuple(slice(n) for n in sizes)]


@pytest.mark.parametrize("shifted", [False, True], ids=["plain", "shifted"])
@pytest.mark.parametrize("size", [(2, 8, 4), (3, 5, 6), (1, 4, 7)], ids=["whole", "padded", "one-frame"])
def test_swin_is_what_brute_force_says(size, shifted):
    module = Attention(3, 4, tokens.ShiftedWindows(2, (2, 4, 3), shifted), taps=(3, 3, 3), rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(0), (1, *size, 3))
    q, k, v = np.split(np.asarray(module.project_in(x)[0], np.float64), 3, axis=-1)
    expected = module.project_out(jnp.asarray(swin_by_brute_force(q, k, v, 2, (2, 4, 3), shifted), jnp.float32)[None])
    np.testing.assert_allclose(jax.jit(module)(x), expected, rtol=0, atol=1e-5 * np.std(expected))


def test_groups_one_after_another_change_nothing(monkeypatch):
    """Many large windows are attended to in turns, two of them here."""
    module, x = attention("Sh"), jax.random.normal(jax.random.key(0), (2, 4, 8, 8, 3))
    call = lambda: jax.jit(jax.value_and_grad(lambda x: jnp.sum(module(x) ** 2)))(x)  # compiled anew
    together = call()
    monkeypatch.setattr(core, "MOST_SCORES", 2 * 2 * 32**2)
    in_turns = call()
    assert "while" in str(jax.make_jaxpr(module)(x)) or "scan" in str(jax.make_jaxpr(module)(x))
    for one, other in zip(together, in_turns, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * np.std(one) + 1e-5 * np.max(np.abs(one)))


def test_vit_in_three_dimensions_is_what_brute_force_says():
    """Two windows along T, H and W: the bias of a pair is the table's entry for how far they are apart on each axis."""
    module = make_attention("V3", 3, 4, (4, 4, 6), Grid((2, 3), (1, 1)), SETTINGS, rngs=nnx.Rngs(0))
    table = np.asarray(module.bias_table[...])
    assert table.shape == (27, 2)
    x = jax.random.normal(jax.random.key(0), (1, 4, 4, 6, 3))
    parts = np.split(np.asarray(module.project_in(x)[0], np.float64), 3, axis=-1)
    places = list(itertools.product(range(2), repeat=3))
    block = lambda place: tuple(slice(n * size, (n + 1) * size) for n, size in zip(place, (2, 2, 3), strict=True))
    token = lambda part, place, head: np.split(part[block(place)].reshape(-1), 2)[head]
    expected = np.zeros_like(parts[0])
    for place in places:
        heads = []
        for head in range(2):
            unit = lambda part, where, head=head: (v := token(part, where, head)) / np.linalg.norm(v)
            scores = np.exp([unit(parts[0], place) @ unit(parts[1], other) for other in places])
            weights = scores / scores.sum()
            for n, other in enumerate(places):
                t, h, w = (a - b + 1 for a, b in zip(place, other, strict=True))
                weights[n] += table[(h * 3 + w) * 3 + t, head]
            heads.append(sum(weight * token(parts[2], other, head) for weight, other in zip(weights, places, strict=True)))
        expected[block(place)] = np.concatenate(heads).reshape(2, 2, 3, 4)
    expected = module.project_out(jnp.asarray(expected, jnp.float32)[None])
    np.testing.assert_allclose(module(x), expected, rtol=0, atol=1e-5 * np.std(expected))


def test_swin_values_get_gradients():
    """In the authors' code they do not: it reads the keys in their place."""
    module = attention("S3")
    graphdef, params = nnx.split(module)
    x = jax.random.normal(jax.random.key(0), (1, 4, 8, 8, 3))
    gradient = jax.grad(lambda params: jnp.sum(nnx.merge(graphdef, params)(x) ** 2))(params)
    values = gradient["project_in"]["kernel"][...][..., 8:]
    assert np.all(np.max(np.abs(values), axis=(0, 1, 2, 3)) > 0)


@pytest.mark.parametrize("kind", KINDS)
def test_cutting_and_joining_are_inverse(kind):
    cutting = attention(kind).cutting
    x = jax.random.normal(jax.random.key(0), (2, 4, 8, 8, 4))
    pieces = cutting.cut(x)
    assert pieces.ndim == 5
    np.testing.assert_array_equal(cutting.join(pieces, x.shape), x)


@pytest.mark.parametrize("kind", KINDS)
def test_attention_is_finite_where_the_image_is_zero(kind):
    module = attention(kind)
    module.project_in.bias[...] = jnp.zeros(12)
    value, gradient = jax.jit(jax.value_and_grad(lambda x: jnp.sum(module(x))))(jnp.zeros((1, 4, 8, 8, 3)))
    assert np.isfinite(value)
    assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize("kind", ["L1", "G1", "V2"])
def test_window_attention_runs_on_another_size(kind):
    module = attention(kind)
    assert module(jnp.ones((1, 2, 16, 24, 3))).shape == (1, 2, 16, 24, 4)
    with pytest.raises(ValueError, match="give a multiple of"):
        module(jnp.ones((1, 2, 16, 17, 3)))


def test_similarity_does_not_depend_on_scale():
    q, k = jax.random.normal(jax.random.key(0), (2, 1, 1, 2, 3, 16))
    np.testing.assert_allclose(similarity(5 * q, k), similarity(q, 0.1 * k), atol=1e-6)
    np.testing.assert_allclose(np.diagonal(similarity(q, q), axis1=-2, axis2=-1), 1, rtol=1e-6)


@pytest.mark.parametrize("counts", [(2, 3), (2, 3, 4)])
def test_positions_are_equal_for_equal_steps_alone(counts):
    index = tokens.position_index(counts)
    places = list(itertools.product(*map(range, counts)))
    steps = {}
    for i, j in itertools.product(range(len(places)), repeat=2):
        step = tuple(a - b for a, b in zip(places[i], places[j], strict=True))
        assert steps.setdefault(step, index[i, j]) == index[i, j]
    assert sorted(steps.values()) == list(range(int(np.prod([2 * n - 1 for n in counts]))))


def test_windows_of_the_paper():
    """64 x 64 with windows of 8 and patches of 4: levels 0, 2, 4 keep the number of windows, 1 and 3 their size."""
    grids = of_levels((64, 64), (8, 8), (4, 4), 5)
    assert [grid.window[0] for grid in grids] == [8, 8, 4, 4, 2]
    assert [grid.patch[0] for grid in grids] == [4, 4, 2, 2, 1]
    assert divide((64, 64), grids[0]) == ((8, 8), (2, 2), (4, 4))
    assert divide((64, 64), grids[0], finer=True) == ((16, 16), (1, 1), (4, 4))


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("T1", {"heads": 3}, "model.heads 3: 3 heads do not divide the 4 channels"),
        ("S3", {"window_heads": 3}, "model.window_heads 3: 3 heads do not divide the 4 numbers of a token"),
        ("L1", {"heads": 7}, "7 heads do not divide the 16 numbers of a token"),
    ],
)
def test_heads_must_divide_tokens(kind, changes, message):
    with pytest.raises(ValueError, match=message):
        attention(kind, cells="C3", **changes)  # the cells of the whole network, whose 64 channels are another question


def test_windows_must_fill_the_image():
    with pytest.raises(ValueError, match=r"do not fill 8 x 9 pixels: choose model.window"):
        attention("L1", (4, 8, 9))
    with pytest.raises(ValueError, match=r"single patches.*smaller model.window_patch"):
        make_attention("G1", 3, 4, (4, 8, 8), Grid((4, 4), (4, 4)), SETTINGS, rngs=nnx.Rngs(0))

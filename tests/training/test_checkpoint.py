"""A checkpoint is restored exactly or not at all."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import SingleDeviceSharding

from snraware_jax.errors import InputError
from snraware_jax.training import checkpoint


def state(value: float) -> dict:
    return {"weights": jnp.full((64, 33), value), "nested": (jnp.arange(5), {"scalar": jnp.float32(value)})}


def abstract() -> dict:
    place = SingleDeviceSharding(jax.devices()[0])
    return jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=place), state(0))


def same(found: dict, expected: dict) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_newest_comes_back_and_old_ones_go(tmp_path):
    for step in (10, 20, 30):
        checkpoint.save(tmp_path, step, state(step))
    assert checkpoint.steps(tmp_path) == [20, 30]
    step, found, passed_over = checkpoint.restore(tmp_path, abstract())
    assert (step, passed_over) == (30, [])
    same(found, state(30))


@pytest.mark.parametrize("damage", ["flip", "truncate", "delete"])
def test_every_file_damaged_falls_back_to_the_one_before(tmp_path, damage):
    checkpoint.save(tmp_path, 1, state(1))
    path = checkpoint.save(tmp_path, 2, state(2))
    for file in sorted(f for f in path.rglob("*") if f.is_file()):
        content = file.read_bytes()
        if not content:
            continue
        if damage == "flip":
            position = len(content) // 2
            file.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        elif damage == "truncate":
            file.write_bytes(content[: len(content) // 2])
        else:
            file.unlink()
        step, found, passed_over = checkpoint.restore(tmp_path, abstract())
        assert step == 1, file
        assert "falling back" in passed_over[0]
        same(found, state(1))
        file.write_bytes(content)
    assert checkpoint.restore(tmp_path, abstract())[0] == 2


def test_an_unfinished_save_is_not_a_checkpoint(tmp_path):
    checkpoint.save(tmp_path, 1, state(1))
    (tmp_path / ".00000002.unfinished").mkdir()
    assert checkpoint.steps(tmp_path) == [1]
    checkpoint.save(tmp_path, 2, state(2))
    assert checkpoint.restore(tmp_path, abstract())[0] == 2


def test_nothing_usable_is_said(tmp_path):
    with pytest.raises(InputError, match="it has none"):
        checkpoint.restore(tmp_path, abstract())
    path = checkpoint.save(tmp_path, 1, state(1))
    (path / checkpoint.SEAL).unlink()
    with pytest.raises(InputError, match="no usable checkpoint"):
        checkpoint.restore(tmp_path, abstract())

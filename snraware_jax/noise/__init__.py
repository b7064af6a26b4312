"""Realistic MR noise, made on the device inside the train step: settings, random choices, synthesis, pairs."""

from snraware_jax.noise.pairs import make_pair, sample_key
from snraware_jax.noise.settings import NoiseSettings

__all__ = ["NoiseSettings", "make_pair", "sample_key"]

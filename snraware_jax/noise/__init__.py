"""Realistic MR noise, made on the device inside the train step: settings, random choices, synthesis, pairs."""

from snraware_jax.noise.pairs import Pair, make_pair, sample_key
from snraware_jax.noise.settings import PRESETS, NoiseSettings

__all__ = ["PRESETS", "NoiseSettings", "Pair", "make_pair", "sample_key"]

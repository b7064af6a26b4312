"""Ahead-of-time compilation for TPUs: says what a program takes, or what is missing."""

import importlib.util

import pytest


def test_a_missing_compiler_or_unknown_chip_is_named(launch):
    process = launch("compile_check", "--config=configs/hrnet_cnnt.py:quick", "--topology=v1:1x1")
    _, error = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "compile_check.py: --topology=v1:1x1: no such chips, or no libtpu (pip install libtpu)" in error


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="needs libtpu, the compiler for TPUs")
def test_noise_compiles_for_tpus_without_collectives(launch):
    process = launch("compile_check", "--config=configs/hrnet_cnnt.py:quick", "--programs=noise")
    output, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    assert "noise for v5e:2x2" in output
    assert "no collectives" in output

"""What one command compiled the next one reads."""

import os
import subprocess
import sys

from tests.conftest import REPOSITORY

CODE = """
from snraware_jax import compiled
compiled.keep()
import jax
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
print(jax.jit(lambda x: x @ x + 1)(jax.numpy.ones((3, 3))).sum())
"""


def test_programs_are_kept_where_the_user_keeps_caches(tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    environment |= {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONPATH": str(REPOSITORY), "JAX_PLATFORMS": "cpu"}
    run = lambda extra: subprocess.run([sys.executable, "-c", CODE], env=environment | extra, capture_output=True, check=True)
    run({})
    assert list(tmp_path.glob("cache/snraware-jax/compiled-*/*"))
    run({"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "own"), "XDG_CACHE_HOME": str(tmp_path / "unused")})
    assert list(tmp_path.glob("own/*"))
    assert not (tmp_path / "unused").exists()

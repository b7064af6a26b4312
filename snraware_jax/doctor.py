"""Is the machine used? Versions, devices, three timed operations, and the line to type where an accelerator lies idle."""

import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")
REPEATS = 5
# what the operating system shows of an accelerator, and which extra of this package drives it
ACCELERATORS = (("NVIDIA GPU", ("/dev/nvidia0",), "cuda13"), ("TPU", ("/dev/accel0", "/dev/vfio/0"), "tpu"))


def findings() -> Iterator[str]:
    """Lines for a reader, one at a time: what it takes seconds to measure comes last."""
    import jax

    from snraware_jax import __version__

    yield f"snraware-jax {__version__}, Python {platform.python_version()}, {platform.platform()}"
    yield ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    yield f"{processors()} CPU cores for this process, {_memory_gb():.1f} GB of memory"
    devices = jax.local_devices()
    for device in devices:
        limit = (device.memory_stats() or {}).get("bytes_limit")
        yield f"device {device.id}: {device.device_kind} ({device.platform})" + (f", {limit / 1e9:.1f} GB" if limit else "")
    for name, rate, unit in _timed():
        yield f"{name}: {rate:.3g} {unit}"


def advice(platforms: set[str], exists: Callable[[str], bool] = os.path.exists) -> list[str]:
    """What to type where an accelerator is there and not used.

    Args:
      platforms: of JAX's devices: "cpu", "gpu", "tpu".
      exists: whether a path of a device is there.
    """
    found = []
    for name, paths, extra in ACCELERATORS:
        used = "tpu" in platforms if extra == "tpu" else bool(platforms & {"gpu", "cuda"})
        if used or not any(map(exists, paths)):
            continue
        if forced := os.environ.get("JAX_PLATFORMS"):
            found.append(f"a {name} is here, but JAX_PLATFORMS={forced} keeps it from use: unset JAX_PLATFORMS")
        else:
            found.append(
                f"a {name} is here and is not used: pip install -U 'snraware-jax[{extra}]'   (in the checkout: '.[{extra}]')"
            )
    if sys.flags.optimize:
        found.append("python -O skips checks: run without it")
    return found


def processors() -> int:
    """Processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9 if Path("/proc").exists() else float("nan")


def _timed() -> Iterator[tuple[str, float, str]]:
    """The operations that everything here is made of, on the first device: float32, medians."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    rng = np.random.default_rng(0)
    matrix = jnp.asarray(rng.normal(size=(2048, 2048)), jnp.float32)
    image = jnp.asarray(rng.normal(size=(30, 192, 192, 2)) @ [1, 1j], jnp.complex64)
    features = jnp.asarray(rng.normal(size=(16, 96, 96, 32)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(3, 3, 32, 32)), jnp.float32)
    convolve = lambda x, w: jax.lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    yield "matrix product 2048 x 2048", 2 * 2048**3 / _seconds(jnp.matmul, matrix, matrix) / 1e9, "GFLOP/s"
    yield "convolution 3 x 3, 32 channels", 2 * 9 * 32**2 * 16 * 96**2 / _seconds(convolve, features, kernel) / 1e9, "GFLOP/s"
    yield "2-D FFT of 192 x 192", 30 / _seconds(jnp.fft.fft2, image), "images/s"


def _seconds(call: Callable[..., Any], *arguments: Any) -> float:
    import jax

    compiled = jax.jit(call)
    compiled(*arguments).block_until_ready()
    found = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        compiled(*arguments).block_until_ready()
        found.append(time.perf_counter() - started)
    return sorted(found)[REPEATS // 2]

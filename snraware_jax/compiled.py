"""Programs that were compiled once are read the next time, by every command of a user on a machine."""

import hashlib
import os
import platform
from pathlib import Path


def keep() -> None:
    """Keeps compiled programs in the user's cache, unless JAX was given a place of its own (JAX_COMPILATION_CACHE_DIR)."""
    import jax

    if not jax.config.values["jax_compilation_cache_dir"]:
        jax.config.update("jax_compilation_cache_dir", str(folder()))


def folder() -> Path:
    """Of this kind of processor: programs for another one may not run, and a home directory may be shared."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "snraware-jax" / f"compiled-{hashlib.sha256(_processor().encode()).hexdigest()[:12]}"


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if not information.exists():
        return f"{platform.machine()} {platform.processor()}"
    return "\n".join(
        sorted({line for line in information.read_text().splitlines() if line.startswith(("model name", "flags"))})
    )

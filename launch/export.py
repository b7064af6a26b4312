"""A trained workdir -> a bundle: one file with the network, its program without this package, and where it comes from.

    python launch/export.py --workdir=runs/laptop-long --output=laptop.snr
    python launch/export.py --workdir=runs/laptop-long --output=laptop.snr --suites=DIR,DIR   # of launch/evaluate.py --suite
    python launch/export.py --bundle=laptop.snr --output=laptop.onnx          # one tile, for ONNX runtimes

`snraware_jax.load("laptop.snr")` gives the denoiser; the bundle works without the workdir and without the trainer.
"""

from pathlib import Path

from absl import flags

from launch import program

WORKDIR = flags.DEFINE_string("workdir", None, "folder of launch/train.py")
BUNDLE = flags.DEFINE_string("bundle", None, "a bundle, or a model that ships, to be written as ONNX")
OUTPUT = flags.DEFINE_string("output", None, "the bundle, NAME.snr; with --bundle NAME.onnx")
SUITES = flags.DEFINE_list("suites", [], "folders with results.json of launch/evaluate.py --suite, for the card [none]")
TILE = flags.DEFINE_list("tile", None, "T,H,W that the network is given at once [those of the configuration, or 16,64,64]")
OVERLAP = flags.DEFINE_list("overlap", None, "T,H,W that neighbouring tiles share [those of the configuration, or 8,16,16]")


def main() -> None:
    from flax import nnx

    from configs import base
    from snraware_jax.errors import InputError
    from snraware_jax.inference import bundle
    from snraware_jax.training import best, card, configuration

    which = InputError("which run, and where to? --workdir=DIR --output=NAME.snr; or --bundle=NAME.snr --output=NAME.onnx")
    if OUTPUT.value is None or (WORKDIR.value is not None and BUNDLE.value is not None):
        raise which
    if BUNDLE.value is not None:
        _as_onnx(BUNDLE.value, Path(OUTPUT.value))
        return
    if WORKDIR.value is None:
        raise which
    workdir, output = Path(WORKDIR.value), Path(OUTPUT.value)
    config = configuration.restore(workdir, base.get_config())
    config.vgg_weights = ""
    of_test, usual = config.evaluation, bundle.Tiling()  # tested with whole axes (0), it is given tiles of a usual size
    t, h, w = (size or other for size, other in zip(of_test.tile, usual.tile, strict=True))
    tile = _sizes("tile", TILE.value) or (t, h, w)
    chosen = zip(of_test.tile, of_test.overlap, usual.overlap, strict=True)
    t, h, w = (shared if size else other for size, shared, other in chosen)
    overlap = _sizes("overlap", OVERLAP.value) or (t, h, w)
    if any(shared >= size for shared, size in zip(overlap, tile, strict=True)):
        raise InputError(f"--overlap={','.join(map(str, overlap))}: less than the tile, {','.join(map(str, tile))}")
    found = best.restore(config, workdir)
    network = nnx.merge(found.graphdef, found.params)
    tiling = bundle.Tiling(tile, overlap)
    about = card.of_run(config, workdir, found.step) | {"suites": [card.of_suite(Path(home), found) for home in SUITES.value]}
    bundle.save(output, configuration.model_settings(config), network, about, tiling)
    size = output.stat().st_size / 2**20
    print(
        f"export: parameters of step {found.step}, tiles of {' x '.join(map(str, tile))}, {size:.1f} MB, in {output}",
        flush=True,
    )


def _as_onnx(name: str, output: Path) -> None:
    """Writes a bundle's network as ONNX."""
    from snraware_jax import shipped
    from snraware_jax.errors import InputError
    from snraware_jax.inference import bundle, onnx

    if output.suffix != ".onnx":
        raise InputError(f"--output={output}: a bundle is written as ONNX; name it NAME.onnx")
    if idle := [flag.name for flag in (TILE, OVERLAP, SUITES) if flag.present]:
        raise InputError(f"--{idle[0]}: a bundle has its tiles and its card; leave it out")
    found = bundle.load(shipped.find(name))
    difference = onnx.export(output, found.network, found.tiling.tile)
    sizes = " x ".join(map(str, found.tiling.tile))
    print(
        f"export: tiles of {sizes}, in {output}; ONNX Runtime differs by {difference:.1e} from JAX",
        flush=True,
    )


def _sizes(name: str, words: list[str] | None) -> tuple[int, int, int] | None:
    """The three numbers of a flag."""
    from snraware_jax.errors import InputError

    if words is None:
        return None
    if len(words) != 3 or not all(word.isdecimal() for word in words) or (name == "tile" and "0" in words):
        raise InputError(f"--{name}={','.join(words)}: give frames, rows, columns, --{name}=16,64,64")
    frames, height, width = map(int, words)
    return frames, height, width


if __name__ == "__main__":
    program.run(main)

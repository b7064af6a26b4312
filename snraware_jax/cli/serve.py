"""`snraware serve`: an MRD server that denoises what a scanner, or another program, sends."""

import argparse
from pathlib import Path

from snraware_jax.errors import InputError

PORT = 9002  # that MRD clients expect
MEGABYTE = 1 << 20
LONGEST = 1_000_000  # seconds; sockets take no number of them


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The verb and its arguments."""
    verb = verbs.add_parser(
        "serve",
        help="an MRD server: images or raw data in, denoised images out",
        description="Listen for MRD (ISMRMRD) streams, as scanners, Gadgetron and the client of python-ismrmrd-server send "
        "them: images are denoised; raw data is reconstructed, denoised, and comes with its g-map. What cannot be denoised goes "
        "back as it came, in a series of its own that says why. Ctrl-C or SIGTERM ends it.",
        epilog="example: snraware serve -m model.snr --port 9002 --warm 192x256x30",
    )
    verb.add_argument(
        "-m", "--model", default="complex", help="a bundle, NAME.snr, or complex or magnitude, which ship [complex]"
    )
    verb.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="where to listen (default: this computer alone)")
    verb.add_argument("--port", type=int, default=PORT, metavar="N", help=f"default {PORT}; 0: any that is free")
    verb.add_argument(
        "--warm",
        metavar="HxWxT|RAW",
        help="denoised before the first client: a series of this size (default: just larger than a tile), or a raw MRD file, "
        "whose reconstruction is then compiled too",
    )
    how = "known: refused unless their noise SD is 1 (default); snr: they are; auto: divided by the noise SD of the background"
    verb.add_argument("--units", choices=("known", "snr", "auto"), default="known", help=f"of images; {how}")
    verb.add_argument("--noise-sd", type=float, metavar="SD", help="noise SD of images where g is 1, by which they are divided")
    verb.add_argument("--noise", type=Path, metavar="FILE", help="MRD file with the noise scan, where raw data comes without")
    verb.add_argument(
        "--strength", type=float, default=1.0, metavar="S", help="above 0 (next to nothing removed), up to 1 (default)"
    )
    verb.add_argument(
        "--noise-map", action="store_true", help="raw data: noise SD of the output too (16 derivatives of the model)"
    )
    verb.add_argument("--connections", type=int, default=8, metavar="N", help="served at a time; more wait (default 8)")
    verb.add_argument("--waiting", type=int, default=8, metavar="N", help="series that wait for the network (default 8)")
    verb.add_argument("--idle", type=float, default=300.0, metavar="S", help="seconds without a byte that end a connection")
    verb.add_argument("--max-mb", type=int, default=1024, metavar="MB", help="of one measurement, in MiB (default 1024)")
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Serves until it is told to end."""
    _require(options)
    raw = Path(options.warm) if options.warm and Path(options.warm).is_file() else None
    size = parse_size(options.warm) if options.warm and not raw else None

    import os
    import signal
    import sys
    import threading

    from snraware_jax import compiled, shipped
    from snraware_jax.inference import denoiser
    from snraware_jax.progress import say
    from snraware_jax.serve import server
    from snraware_jax.serve.protocol import Limits
    from snraware_jax.serve.warm import warm, warm_raw
    from snraware_jax.serve.work import Task

    compiled.keep()
    network = denoiser.load(shipped.find(options.model))
    if options.noise_map and network.bundle.settings.magnitude:
        raise InputError("--noise-map needs a model of complex images: magnitudes' noise is not Gaussian.")
    task = Task(network, options.units, options.noise_sd, options.strength, options.noise, options.noise_map)
    log = lambda line: say(f"serve: {line}", sys.stderr)
    stop, ending = threading.Event(), (signal.SIGINT, signal.SIGTERM)

    def end(_number: int, _frame: object) -> None:
        stop.set()
        for number in ending:
            signal.signal(number, signal.SIG_DFL)  # a second time it ends at once, whichever comes

    with server.bind(options.host, options.port) as listener:  # before the model is compiled, for it may fail
        log(warm_raw(task, raw) if raw else warm(task, size))
        server.listen(listener)
        for number in ending:
            signal.signal(number, end)
        host, port = listener.getsockname()[:2]
        if not server.is_loopback(host):
            log(f"{host} is reached from other computers, and MRD knows no passwords: whoever reaches it can send and receive")
        how = server.Options(
            options.connections, options.waiting, options.idle, options.idle, limits=Limits(data=options.max_mb * MEGABYTE)
        )
        say(f"serve: ready on {host}:{port}, model {Path(options.model).name} {network.bundle.sha256[:12]}", sys.stdout)
        at_rest = server.serve(listener, task, how, stop, log)
    if not at_rest:
        os._exit(0)  # an interpreter that ends under a thread that computes aborts, with another exit code
    return 0


def _require(options: argparse.Namespace) -> None:
    if options.noise_sd is not None and not 0 < options.noise_sd < float("inf"):
        raise InputError(f"--noise-sd {options.noise_sd:g}: give a number above 0.")
    if not 0 < options.strength <= 1:
        raise InputError(f"--strength {options.strength:g}: give a number above 0, up to 1.")
    if not 0 <= options.port < 1 << 16:
        raise InputError(f"--port {options.port}: give a number from 0 to 65535.")
    if options.noise is not None:
        from snraware_jax.formats.mrd import require_noise

        require_noise(options.noise)
    if options.idle > LONGEST:
        raise InputError(f"--idle {options.idle:g}: give at most {LONGEST} (seconds; eleven days).")
    for name in ("connections", "waiting", "idle", "max_mb"):
        if not 0 < getattr(options, name) < float("inf"):
            raise InputError(f"--{name.replace('_', '-')} {getattr(options, name):g}: give a number above 0.")


def parse_size(text: str) -> tuple[int, int, int]:
    """T, H, W of '192x256x30', or of '192x256'.

    Raises:
      InputError: if it is anything else.
    """
    parts = text.split("x")
    if len(parts) not in (2, 3) or not all(part.isdecimal() and 0 < int(part) <= 4096 for part in parts):
        raise InputError(f"--warm {text} is no file, and not a size: type 192x256x30 (rows x columns x frames).")
    height, width, frames = (*map(int, parts), 1)[:3]
    return frames, height, width

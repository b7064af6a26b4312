"""`snraware info`: what a model is."""

import argparse


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The verb and its arguments."""
    verb = verbs.add_parser(
        "info",
        help="what a model is, how it was trained, what it reached",
        description="Print what a bundle holds: its network, its tiles, the run that it is of, its test results. --json prints all.",
        epilog="example: snraware info model.snr",
    )
    verb.add_argument("model", metavar="MODEL", help="a bundle, NAME.snr, or complex or magnitude, which ship")
    verb.add_argument("--json", action="store_true", help="the whole card as JSON")
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Prints what a bundle holds."""
    import dataclasses
    import json

    from snraware_jax import shipped
    from snraware_jax.inference import bundle
    from snraware_jax.models.table2 import parameters

    found = bundle.load(shipped.find(options.model))
    settings, card = found.settings, found.card
    if options.json:
        print(
            json.dumps(
                {"settings": dataclasses.asdict(settings), **found.tiling._asdict(), "card": card, "sha256": found.sha256},
                indent=1,
            )
        )
        return 0
    times = lambda sizes: " x ".join(map(str, sizes))
    images = "magnitudes" if settings.magnitude else "complex images"
    print(f"{options.model}: {settings.described}, {parameters(settings):,} parameters")
    print(f"  for {images} ({settings.input})")
    print(f"  tiles {times(found.tiling.tile)} (T x H x W), overlap {times(found.tiling.overlap)}")
    trained = card.get("configuration")
    if trained is None:
        print(f"  imported from {card.get('imported_from', '?')}")
    else:
        data = trained["data.path"] or f"{trained['data.simulation.subjects'][0]} simulated subjects"
        print(f"  trained on {data}, step {card['step']} of {trained['train.steps']}, seed {trained['seed']}")
    for row in card.get("tested", []):
        print(f"  peak SNR {row['peak_snr']}: {row['method']} gains {float(row['gain_db']):.2f} dB")
    for suite in card.get("suites", []):
        figures = suite["figures"]
        if "gain_db" in figures:
            said = f"gain {figures['gain_db']:.1f} dB, SSIM {figures['ssim']:.3f}"
        else:
            of_region = "SNR of {} {snr_before:.1f} -> {snr_after:.1f} with {share:.0f} % of its signal"
            said = "; ".join(of_region.format(name, share=100 * one["fidelity"], **one) for name, one in figures.items())
        print(f"  {suite['suite']} ({suite['cases']} {'series' if 'gain_db' in figures else 'scans'}): {said}")
    print(f"  sha256 {found.sha256}")
    return 0

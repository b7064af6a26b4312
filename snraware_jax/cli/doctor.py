"""`snraware doctor`: is the machine used?"""

import argparse


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The verb and its arguments."""
    verb = verbs.add_parser(
        "doctor",
        help="versions, devices, their speed, and what to type if an accelerator is not used",
        description="Print versions and devices, time a matrix product, a convolution and an FFT on the first device, and say what to "
        "type where an accelerator is there and not used. Exit code 1 then.",
        epilog="example: snraware doctor",
    )
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Prints what is found; 1 if there is something to mend."""
    import jax

    from snraware_jax import doctor

    for line in doctor.findings():
        print(line, flush=True)
    advice = doctor.advice({device.platform for device in jax.devices()})
    print("\n".join(advice) or "nothing to mend")
    return 1 if advice else 0

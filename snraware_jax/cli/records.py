"""`snraware records check`: every training record of a folder."""

import argparse
from pathlib import Path


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The verb and its arguments."""
    verb = verbs.add_parser("records", help="training records: check every one of a folder")
    check_verb = verb.add_subparsers(title="verbs", metavar="VERB", required=True).add_parser(
        "check",
        help="read every record of every shard; name what is damaged, twice there, or of a subject in two splits",
        description="Read every record of a folder of HDF5 shards or of a TFDS data set, and name the shard and the record of every "
        "fault. Prints what the folder holds. Exit code 1 where there are faults.",
        epilog="example: snraware records check data/",
    )
    check_verb.add_argument("folder", type=Path, metavar="DIR", help="folder of launch/prepare_data.py, or WORKDIR/data")
    check_verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Prints what a folder of training records holds and what is wrong with it; 1 if there is anything."""
    from data_pipeline.checking import check_folder

    report = check_folder(options.folder)
    print("\n".join(report.lines()))
    return 1 if report.faults else 0

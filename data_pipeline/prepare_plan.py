"""The plan of a preparation: which series goes into which shard under which sample id. Whoever follows it makes the same records.

It is kept in OUTPUT/plan.json, the subjects' splits in OUTPUT/splits.json, so that the same command continues a preparation.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from data_pipeline.prepare_inputs import Input, count_series
from data_pipeline.records import SPLITS
from snraware_jax.errors import InputError
from snraware_jax.formats.atomic import write_json
from snraware_jax.progress import Progress

RECORDS_PER_SHARD = 16
HELD_OUT = 0.1  # share of the subjects for validation, and for test
NONE_FOR = (
    "give more files, or --split_by=series (which puts slices of one subject on both sides: a test that it runs, not that it "
    "generalises)"
)


class Item(NamedTuple):
    """One series to be a record."""

    path: str
    number: int  # of the series in its file
    sample_id: int
    subject: str


@dataclass(frozen=True)
class Shard:
    """The series of one file of records, of one split, in ascending order of their sample ids."""

    name: str
    split: str
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Plan:
    """What a preparation makes; `settings` are what its command said, JSON values."""

    settings: dict[str, Any]
    inputs: tuple[Input, ...]
    shards: tuple[Shard, ...]


def make(settings: dict[str, Any], found: Sequence[Input], kept: Mapping[str, str]) -> tuple[Plan, dict[str, str]]:
    """A new plan for all inputs, and the split of every subject.

    Args:
      settings: of the command.
      found: the inputs.
      kept: splits of subjects that are settled already.

    Raises:
      InputError: if no input can be read, or the subjects cannot be split.
    """
    return _extended(Plan(settings, (), ()), _counted(found), kept)


def update(
    plan: Plan, settings: dict[str, Any], found: Sequence[Input], kept: Mapping[str, str], made: Collection[int], output: Path
) -> tuple[Plan, dict[str, str]]:
    """The plan that continues one, where files were added, or files of which there is no record yet were replaced or removed.

    New series are appended: sample ids, shards and splits of the others stay.

    Args:
      plan: the earlier one, in `output`.
      settings, found, kept: as for `make`.
      made: sample ids of the records that exist.

    Raises:
      InputError: naming what differs, for settings of another command, or a changed or missing file of which records exist.
    """
    different = [
        f"{name} {plan.settings.get(name)} -> {settings.get(name)}"
        for name in sorted(plan.settings.keys() | settings.keys())
        if plan.settings.get(name) != settings.get(name)
    ]
    if different:
        raise InputError(
            f"{output}: made by another command ({'; '.join(different)}); give another --output, with "
            f"--splits={output / 'splits.json'} if the subjects shall keep their splits"
        )
    known = {one._replace(count=0): one for one in plan.inputs}
    fresh = [one for one in found if one not in known]
    lost = {one.path for one in known.keys() - set(found)}
    stale = sorted(item.path for shard in plan.shards for item in shard.items if item.sample_id in made and item.path in lost)
    if stale:
        raise InputError(
            f"{stale[0]}: is gone or changed since records of it were made in {output}; put it back, or give another --output"
        )
    if not fresh and not lost:
        return plan, dict(kept)
    inputs = tuple(one for one in plan.inputs if one.path not in lost)
    left = lambda shard: tuple(item for item in shard.items if item.path not in lost)
    shards = tuple(Shard(one.name, one.split, left(one)) for one in plan.shards)
    return _extended(Plan(settings, inputs, shards), _counted(fresh), kept)


def _counted(found: Sequence[Input]) -> list[Input]:
    """The inputs with the number of their series; one that cannot be read counts as one, which will fail and be listed."""
    counted, errors = [], []
    with Progress(len(found), "look at inputs", unit="files", enabled=len(found) > 1) as progress:
        for one in found:
            try:
                counted.append(one._replace(count=count_series(Path(one.path))))
            except InputError as error:
                errors.append(error)
                counted.append(one._replace(count=1))
            progress.update(len(counted))
    if found and len(errors) == len(found):
        raise errors[0]
    return counted


def _extended(plan: Plan, fresh: Sequence[Input], kept: Mapping[str, str]) -> tuple[Plan, dict[str, str]]:
    by_series = plan.settings["split_by"] == "series"
    unit = lambda one, number: f"{one.subject}/{Path(one.path).name}[{number}]" if by_series else one.subject
    series = [(one, number) for one in fresh for number in range(one.count)]
    splits = assign_splits([unit(one, number) for one in (*plan.inputs, *fresh) for number in range(one.count)], kept)
    first = 1 + max((item.sample_id for shard in plan.shards for item in shard.items), default=-1)
    items = [(splits[unit(*of)], Item(of[0].path, of[1], first + i, of[0].subject)) for i, of in enumerate(series)]
    shards = list(plan.shards)
    for split in SPLITS:
        number = sum(shard.split == split for shard in shards)
        packed = _packed([item for its_split, item in items if its_split == split])
        shards += [Shard(f"{split}-{number + i:05d}", split, some) for i, some in enumerate(packed)]
    return Plan(plan.settings, (*plan.inputs, *fresh), tuple(shards)), splits


def _packed(items: Sequence[Item]) -> Iterator[tuple[Item, ...]]:
    """Items by shard: whole files, so that none is read twice, up to `RECORDS_PER_SHARD` unless one file has more."""
    shard: tuple[Item, ...] = ()
    for _, of_file in groupby(items, key=lambda item: item.path):
        more = tuple(of_file)
        if shard and len(shard) + len(more) > RECORDS_PER_SHARD:
            yield shard
            shard = ()
        shard += more
    if shard:
        yield shard


def assign_splits(names: Iterable[str], kept: Mapping[str, str] | None = None) -> dict[str, str]:
    """Each name's split: a tenth of all hashes for test, the next for validation, whatever other names there are.

    So a name does not move when others are added. Only where a split would have none is the name with the nearest hash put there;
    `kept` holds it there afterwards.

    Args:
      names: of what must not be on two sides: subjects.
      kept: splits that are settled; of other names too.

    Raises:
      InputError: if a split has none.
    """
    kept, names = kept or {}, set(names)
    ranked = sorted(names - kept.keys(), key=_share)
    by_hash = lambda share: "test" if share < HELD_OUT else "validation" if share < 2 * HELD_OUT else "train"
    splits = {name: by_hash(_share(name)) for name in ranked}
    moved: set[str] = set()
    for split in ("test", "validation", "train"):
        counts = Counter(splits.get(name) or kept[name] for name in names)
        if not counts[split]:
            free = [name for name in ranked if name not in moved and counts[splits[name]] > 1]
            if not free:
                raise InputError(f"{len(names)} subject(s), none for {split}; {NONE_FOR}")
            nearest = free[-1 if split == "train" else 0]
            splits[nearest] = split
            moved.add(nearest)
    return {**kept, **splits}


def _share(name: str) -> float:
    """A hash of a name as a number in [0, 1)."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6]) / 2**48


# ---------------------------------------------------------------- files


def write(plan: Plan, splits: Mapping[str, str], output: Path) -> None:
    """Keeps a plan and its splits in OUTPUT; the splits first, for a plan without them could move subjects."""
    write_json(output / "splits.json", splits)
    write_json(output / "plan.json", asdict(plan))


def read(output: Path) -> Plan:
    """The plan that `write` kept.

    Raises:
      InputError: if it is damaged.
    """
    path = output / "plan.json"
    try:
        content = json.loads(path.read_text())
        shards = tuple(
            Shard(one["name"], one["split"], tuple(Item(*item) for item in one["items"])) for one in content["shards"]
        )
        return Plan(content["settings"], tuple(Input(*one) for one in content["inputs"]), shards)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a plan of prepare_data ({error}); delete {output} and prepare again") from error


def read_splits(path: Path) -> dict[str, str]:
    """The splits of subjects, a JSON object {"subject": "train" | "validation" | "test"}.

    Raises:
      InputError: if the file is not that.
    """
    try:
        splits = json.loads(path.read_text())
        wrong = [name for name, split in splits.items() if split not in SPLITS]
    except (ValueError, AttributeError, TypeError) as error:
        raise InputError(f"{path}: not a JSON object of subjects and their splits ({error})") from error
    if wrong:
        raise InputError(f"{path}: the split of {wrong[0]} is {splits[wrong[0]]!r}; it must be one of {', '.join(SPLITS)}")
    return splits

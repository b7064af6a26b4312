"""Folders that are outputs: whole or not at all, whenever Ctrl-C comes."""

import os
from itertools import count
from pathlib import Path

import pytest

from snraware_jax.errors import InputError
from snraware_jax.formats import atomic
from snraware_jax.formats.atomic import replacing_folder

NAMES = [f"IM{number}.dcm" for number in range(6)]


def fill(folder: Path, text: str) -> None:
    for name in NAMES:
        (folder / name).write_text(text)


def content(folder: Path) -> dict[str, str] | None:
    return {file.name: file.read_text() for file in folder.iterdir()} if folder.exists() else None


def whole(text: str) -> dict[str, str]:
    return dict.fromkeys(NAMES, text)


def interrupting(monkeypatch, steps: int, after: bool) -> None:
    """Ctrl-C before, or right after, the step of that number."""
    left = [steps]

    def counted(do):
        def step(*arguments):
            left[0] -= 1
            if left[0] == 0:
                if after:
                    do(*arguments)
                raise KeyboardInterrupt
            return do(*arguments)

        return step

    for where, name in ((os, "rename"), (os, "replace"), (atomic, "flush")):
        monkeypatch.setattr(where, name, counted(getattr(where, name)))


@pytest.mark.parametrize("after", [False, True], ids=["before a step", "after it"])
@pytest.mark.parametrize("there", ["nothing", "an empty folder", "the same files", "a link"])
def test_ctrl_c_leaves_all_or_nothing(tmp_path, there, after):
    """Wherever it comes, under the final name lies what lay there, or all that is new; and nothing beside it."""
    for steps in count(1):
        place = tmp_path / str(steps)
        target = (place / "real" / "out") if there == "a link" else place / "out"
        if there != "nothing":
            target.mkdir(parents=True)
        if there in ("the same files", "a link"):
            fill(target, "old")
        if there == "a link":
            (place / "out").symlink_to(target)
        before = content(place / "out")
        with pytest.MonkeyPatch.context() as monkeypatch:
            interrupting(monkeypatch, steps, after)
            try:
                with replacing_folder(place / "out") as temporary:
                    fill(temporary, "new")
            except KeyboardInterrupt:
                assert content(place / "out") in (before, whole("new"))
                assert [path.name for path in target.parent.iterdir()] == (["out"] if target.exists() else [])
                continue
        break
    assert steps > 2
    assert content(place / "out") == whole("new")
    assert [path.name for path in target.parent.iterdir()] == ["out"]
    assert (place / "out").is_symlink() == (there == "a link")


def test_a_new_folder_has_the_permissions_of_any_other(tmp_path):
    (tmp_path / "any").mkdir()
    with replacing_folder(tmp_path / "out") as temporary:
        fill(temporary, "new")
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "any").stat().st_mode
    (tmp_path / "out").chmod(0o750)
    with replacing_folder(tmp_path / "out") as temporary:
        fill(temporary, "new")
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o750


def test_folders_of_others_are_not_replaced(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="file is a file, and the output a folder"), replacing_folder(tmp_path / "file"):
        pass
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious.txt").write_text("mine")
    with (
        pytest.raises(InputError, match=r"full holds other files \(precious.txt\)"),
        replacing_folder(tmp_path / "full") as temporary,
    ):
        fill(temporary, "new")
    assert content(tmp_path / "full") == {"precious.txt": "mine"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full"]

"""Which output belongs to which input, what is refused before any work, and failures that do not stop the rest."""

import errno
import json
import os
from pathlib import Path

import pytest

from snraware_jax import files
from snraware_jax.errors import InputError, describe
from snraware_jax.files import Job
from snraware_jax.formats.atomic import replacing


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def pairs(jobs: list[Job], study: Path, output: Path) -> dict[str, str]:
    return {str(job.source.relative_to(study)): str(job.output.relative_to(output)) for job in jobs}


def test_a_file_goes_to_a_file_or_into_a_folder(tmp_path):
    raw = touch(tmp_path, "meas.mrd") / "meas.mrd"
    assert files.jobs([raw], tmp_path / "scan.h5") == [Job(raw, tmp_path / "scan.h5")]
    assert files.jobs([raw], tmp_path / "new" / "series") == [Job(raw, tmp_path / "new" / "series" / "meas.h5")]
    (tmp_path / "there.h5").mkdir()
    assert files.jobs([raw], tmp_path / "there.h5") == [Job(raw, tmp_path / "there.h5" / "meas.h5")]


def test_the_tree_of_a_folder_is_repeated(tmp_path):
    study = touch(
        tmp_path / "study", "a.h5", "p1/a.h5", "p1/day 2/b.mrd", "p2/c.HDF5", "notes.txt", "p2/.c-tmp.h5", ".snap/a.h5"
    )
    found = files.jobs([study], tmp_path / "out")
    assert pairs(found, study, tmp_path / "out") == {
        "a.h5": "a.h5",
        "p1/a.h5": "p1/a.h5",
        "p1/day 2/b.mrd": "p1/day 2/b.h5",
        "p2/c.HDF5": "p2/c.h5",
    }


def test_a_folder_below_a_hidden_one_is_searched(tmp_path):
    study = touch(tmp_path / ".cache" / "study", "a.h5")
    assert pairs(files.jobs([study], tmp_path / "out"), study, tmp_path / "out") == {"a.h5": "a.h5"}


def test_outputs_inside_the_inputs_are_no_inputs(tmp_path):
    study = touch(tmp_path / "study", "a.h5", "series/a.h5", "series/b.h5")
    assert pairs(files.jobs([study], study / "series"), study, study / "series") == {"a.h5": "a.h5"}


def test_outputs_may_lie_above_the_inputs(tmp_path):
    study = touch(tmp_path / "study", "raw/a.h5")
    assert files.jobs([study / "raw"], study) == [Job(study / "raw" / "a.h5", study / "a.h5")]


def test_a_folder_that_cannot_be_read_is_refused_not_left_out(tmp_path, monkeypatch):
    study = touch(tmp_path / "study", "p0/a.h5", "p1/a.h5")
    scandir = os.scandir

    def guarded(path):
        if Path(path).name == "p1":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    with pytest.raises(PermissionError, match="p1"):
        files.jobs([study], tmp_path / "out")


def test_files_and_folders_mix(tmp_path):
    study, one = touch(tmp_path / "study", "a.h5"), touch(tmp_path, "b.h5") / "b.h5"
    assert [job.output.name for job in files.jobs([study, one], tmp_path / "out")] == ["a.h5", "b.h5"]


REFUSED = {
    "two files into one": (["b.h5", "c.h5"], "out.h5", "2 scans cannot go into the one file .*: give a folder, -o .*/out$"),
    "a folder into a file": (["study"], "out.h5", "the scans of .*study cannot go into the one file"),
    "two of one name": (
        ["study/a.h5", "other/a.h5"],
        "out",
        "several scans would be written to .*out/a.h5: .*separate folders",
    ),
    "two that differ in the suffix": (["pair"], "out", "several scans would be written to .*out/a.h5"),
    "below a file": (["b.h5"], "plain/x/c.h5", "plain is a file, so that nothing can be written below it"),
    "the input itself": (["b.h5"], "b.h5", "b.h5 is an input: give -o another name"),
    "the input by another path": (["b.h5"], "study/../b.h5", "b.h5 is an input"),
    "an input and its namesake": (["b.h5", "study/b/b.h5"], "study/b", "several scans would be written to .*study/b/b.h5"),
    "the folder of the inputs": (
        ["study"],
        "study",
        "study is the folder of the inputs: give -o another one, for example .*series",
    ),
    "an empty folder": (["empty"], "out", "empty: no .h5 or .hdf5 or .mrd file in this folder"),
    "a folder of other files": (["texts"], "out", "texts: no .h5 or .hdf5 or .mrd file"),
    "an output that is a file": (["study"], "plain", "plain is no folder and no .h5 file: give a folder, or -o .*plain.h5"),
    "another format": (["b.h5"], "scan.nii", "scan.nii is no folder and no .h5 file: give a folder, or -o .*scan.h5"),
    "another compressed format": (["b.h5"], "scan.nii.gz", "scan.nii.gz is no folder and no .h5 file"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_meant_is_refused(tmp_path, case):
    inputs, output, message = REFUSED[case]
    touch(
        tmp_path, "b.h5", "c.h5", "study/a.h5", "study/b/b.h5", "other/a.h5", "pair/a.h5", "pair/a.mrd", "texts/x.txt", "plain"
    )
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=message):
        files.jobs([tmp_path / name for name in inputs], tmp_path / output)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_digest_is_of_the_content(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"abc")
    b.write_bytes(b"abc")
    assert files.digest(a) == files.digest(b) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    b.write_bytes(b"abd")
    assert files.digest(b) != files.digest(a)
    with pytest.raises(InputError, match="nothing: no such file"):
        files.digest(tmp_path / "nothing")
    with pytest.raises(InputError, match="no such file"):
        files.digest(tmp_path)


DICOM = bytes(128) + b"DICM"


def dicom(folder: Path, *names: str) -> Path:
    for name in names:
        (touch(folder, name) / name).write_bytes(DICOM)
    return folder


def test_a_lone_image_goes_to_a_file_or_into_a_folder(tmp_path):
    for name in ("t1.nii.gz", "in.dcm", "IM0001"):
        source = dicom(tmp_path, name) / name
        for output in ("out.nii.gz", "out.npy", "out.dcm", "out.IMA"):  # of the format of the input, too
            assert files.image_jobs([source], tmp_path / output) == [Job(source, tmp_path / output)]
        assert files.image_jobs([source], tmp_path / "new") == [Job(source, tmp_path / "new" / name)]
        (tmp_path / "there.nii").mkdir(exist_ok=True)
        assert files.image_jobs([source], tmp_path / "there.nii") == [Job(source, tmp_path / "there.nii" / name)]
    absent = tmp_path / "absent.nii"
    assert files.image_jobs([absent], tmp_path / "out.nii") == [Job(absent, tmp_path / "out.nii")]


def test_a_folder_that_is_one_series_goes_to_output_itself(tmp_path):
    series = dicom(tmp_path / "series", "a.dcm", "b.dcm", "notes.txt", ".hidden/c.dcm")
    authors = touch(tmp_path / "authors", "in_real.npy", "in_imag.npy", "gmap.npy")
    for source in (series, authors):
        for output in ("out", "out.nii.gz"):
            assert files.image_jobs([source], tmp_path / output) == [Job(source, tmp_path / output)]
    both = files.image_jobs([series, authors], tmp_path / "out")
    assert both == [Job(series, tmp_path / "out" / "series"), Job(authors, tmp_path / "out" / "authors")]


def test_every_image_of_a_study_is_found(tmp_path):
    """A stray DICOM file, or a DICOMDIR, made its folder one series, and all that lies beside and below it vanished."""
    study = dicom(tmp_path / "st", "p1/stray.dcm", "p1/s1/1", "p1/s1/2", "p1/s2/1.dcm", "p2/DICOMDIR", "p2/I/s1/1", "p2/I/s2/1")
    touch(
        study, "p1/t1.nii.gz", "p3/in_real.npy", "p3/in_imag.npy", "p3/gmap.npy", "p3/other.npy", "p3/more/t2.NII", "p1/x.txt"
    )
    found = {
        "p1": "p1/p1",
        "p1/t1.nii.gz": "p1/t1.nii.gz",
        "p1/s1": "p1/s1",
        "p1/s2": "p1/s2",
        "p2/I/s1": "p2/I/s1",
        "p2/I/s2": "p2/I/s2",
        "p3": "p3/p3",
        "p3/other.npy": "p3/other.npy",
        "p3/more/t2.NII": "p3/more/t2.NII",
    }
    assert pairs(files.image_jobs([study], tmp_path / "out"), study, tmp_path / "out") == found
    part = {name.removeprefix("p1").removeprefix("/") or ".": output for name, output in found.items() if name[:2] == "p1"}
    part = {name: output.removeprefix("p1/") for name, output in part.items()}
    assert pairs(files.image_jobs([study / "p1"], tmp_path / "out"), study / "p1", tmp_path / "out") == part
    dicom(study, "DICOMDIR")
    assert pairs(files.image_jobs([study], tmp_path / "out"), study, tmp_path / "out") == found


def test_one_file_that_is_asked_for_is_of_the_series_alone(tmp_path):
    series = dicom(tmp_path / "series", "a.dcm")
    touch(series, "mask.nii")
    assert files.image_jobs([series], tmp_path / "out.nii") == [Job(series, tmp_path / "out.nii")]


def test_images_behind_links_are_found_once(tmp_path):
    study, elsewhere = touch(tmp_path / "study", "a.nii"), dicom(tmp_path / "elsewhere", "s1/1")
    (study / "link").symlink_to(elsewhere)
    (elsewhere / "s1" / "back").symlink_to(study)
    found = {"a.nii": "a.nii", "link/s1": "link/s1"}
    assert pairs(files.image_jobs([study], tmp_path / "out"), study, tmp_path / "out") == found


def test_image_outputs_inside_the_inputs_are_no_inputs(tmp_path):
    study = touch(tmp_path / "study", "a.nii", "dn/a.nii", "dn/b/c.nii")
    assert pairs(files.image_jobs([study], study / "dn"), study, study / "dn") == {"a.nii": "a.nii"}
    series = dicom(tmp_path / "series", "1.dcm", "dn/1.dcm", "dn_noise/1.dcm")
    assert files.image_jobs([series], series / "dn") == [Job(series, series / "dn")]


def test_what_was_made_before_is_no_input(tmp_path):
    """Wherever it lies, by its sidecar; other sidecars say nothing."""
    study = touch(tmp_path / "study", "a.nii", "b.nii", "b_noise.nii", "b_report/series/x.npz", "c.nii")
    about = {"sources": [["a.nii", "0"]], "bundle": "0", "outputs": ["b.nii", "b_noise.nii", "b_report"]}
    (study / "b.nii.json").write_text(json.dumps(about))
    (study / "c.json").write_text('{"outputs": ["c.nii"]}')
    (study / "a.json").write_text("[1]")
    assert pairs(files.image_jobs([study], tmp_path / "out"), study, tmp_path / "out") == {"a.nii": "a.nii", "c.nii": "c.nii"}


@pytest.mark.parametrize("guard", ["scandir", "open"])
def test_images_that_cannot_be_read_are_refused_not_left_out(tmp_path, monkeypatch, guard):
    study = dicom(tmp_path / "study", "p0/a", "p1/a")
    where, name = (os, "scandir") if guard == "scandir" else (Path, "open")
    do = getattr(where, name)

    def guarded(path, *rest):
        if "p1" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return do(path, *rest)

    monkeypatch.setattr(where, name, guarded)
    with pytest.raises(PermissionError, match="p1"):
        files.image_jobs([study], tmp_path / "out")


@pytest.mark.parametrize(
    ("inputs", "output", "message"),
    [
        (["a.nii", "b.nii"], "out.nii", "out.nii: several inputs go into a folder: give -o one, for example .*denoised"),
        (["study"], "out.dcm", "out.dcm: several inputs go into a folder"),
        (["study", "a.nii"], "plain", "plain: several inputs go into a folder"),
        (
            ["study/x/a.nii", "a.nii"],
            "out",
            "several inputs would be written to .*out/a.nii: denoise them into separate folders",
        ),
        (["twice"], "out", "several inputs would be written to .*out/p/p: denoise them"),
        (["within"], "out", "several inputs would be written to .*out/p/p/a.nii: denoise them"),
        (["a.nii"], "a.nii", "a.nii is an input: give -o another name"),
        (["study"], "study", "study is the folder of the inputs: give -o another one, for example .*denoised"),
        (["texts"], "out", "texts: no images in this folder"),
        (["a.nii"], "out.txt", "out.txt: no format of images: give a name that ends with .nii"),
    ],
)
def test_image_outputs_that_cannot_be_meant_are_refused(tmp_path, inputs, output, message):
    touch(tmp_path, "a.nii", "b.nii", "plain", "study/x/a.nii", "study/b.npy", "texts/x.txt", "within/p/p/a.nii")
    dicom(tmp_path, "twice/p/1", "twice/p/p/1", "within/p/1")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=message):
        files.image_jobs([tmp_path / name for name in inputs], tmp_path / output)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_digest_of_images_is_of_all_that_is_read(tmp_path):
    """Of the authors' pair only the half that was named counted."""
    authors = touch(tmp_path / "authors", "in_real.npy", "in_imag.npy", "gmap.npy", "notes.txt")
    series = dicom(tmp_path / "series", "1", "2.dcm", "DICOMDIR")
    for path, counts, does_not in (
        (authors, ("in_real.npy", "in_imag.npy", "gmap.npy"), ("notes.txt", ".DS_Store")),
        (authors / "in_real.npy", ("in_real.npy", "in_imag.npy", "gmap.npy"), ("notes.txt",)),
        (series, ("1", "2.dcm"), ("DICOMDIR", "t1.nii.gz")),
        (series / "1", ("1",), ("2.dcm",)),
    ):
        folder, before = path if path.is_dir() else path.parent, files.digest_of(path)
        for name in counts:
            kept = (folder / name).read_bytes()
            (folder / name).write_bytes(kept + b"x")
            assert files.digest_of(path) != before, name
            (folder / name).write_bytes(kept)
        for name in does_not:
            (folder / name).write_bytes(b"x")
            assert files.digest_of(path) == before, name
    with pytest.raises(InputError, match="absent: no such file"):
        files.digest_of(tmp_path / "absent")
    with pytest.raises(InputError, match="no DICOM file and no NAME_real.npy in this folder"):
        files.digest_of(tmp_path)


def jobs(*names: str) -> list[Job]:
    return [Job(Path("in") / name, Path("out") / name) for name in names]


def test_failures_do_not_stop_the_rest_and_are_listed_with_their_paths(capsys):
    def work(job):
        if job.source.parent.name == "p1":
            raise InputError("a.h5: 79 noise samples.")
        if job.source.parent.name == "p2":
            raise InputError("the header is wrong.")
        if job.source.parent.name == "p3":
            raise PermissionError(13, "Permission denied", str(job.output))
        return None if job.source.parent.name == "p4" else f"{job.output}: made"

    assert files.run(jobs("p0/a.h5", "p1/a.h5", "p2/a.h5", "p3/a.h5", "p4/a.h5", "p5/a.h5"), work, "reconstruct") == 1
    output, error = capsys.readouterr()
    assert output.splitlines() == [
        "out/p0/a.h5: made",
        *(f"in/p{i}/a.h5: failed" for i in (1, 2, 3)),
        "out/p5/a.h5: made",
        "reconstruct: 2 of 6 files done, 1 were there already, 3 failed",
    ]
    assert error.splitlines()[-3:] == [
        "  in/p1/a.h5: 79 noise samples.",
        "  in/p2/a.h5: the header is wrong.",
        "  in/p3/a.h5: out/p3/a.h5: Permission denied; give another path, or change this one's permissions",
    ]


def test_all_done_is_0(capsys):
    assert files.run(jobs("a.h5", "b.h5"), lambda job: f"{job.output}: made", "reconstruct") == 0
    assert "2 of 2 files done, 0 were there already, 0 failed" in capsys.readouterr().out


def test_a_lone_file_raises_and_shows_no_progress(capsys):
    def fails(job):
        raise InputError("bad")

    with pytest.raises(InputError, match="bad"):
        files.run(jobs("a.h5"), fails, "reconstruct")
    assert files.run(jobs("a.h5"), lambda job: None, "reconstruct") == 0
    output, error = capsys.readouterr()
    assert output == "out/a.h5: made from this input before, left as it is (--overwrite makes it again)\n"
    assert error == ""


def test_a_defect_is_not_taken_for_bad_input():
    def defect(job):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        files.run(jobs("a.h5", "b.h5"), defect, "reconstruct")


def test_outputs_that_cannot_be_written_are_named_as_the_user_did(tmp_path):
    touch(tmp_path, "file")
    for path in (tmp_path, tmp_path / "file" / "out.npz"):
        with pytest.raises(OSError) as error, replacing(path):
            pass
        assert error.value.filename == str(path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_is_named_too(tmp_path):
    with pytest.raises(OSError, match=r"No space left") as error, replacing(tmp_path / "out.npz"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # as `write` does, without a name
    assert (
        describe(error.value) == f"{tmp_path / 'out.npz'}: No space left on device; make room, then give the same command again"
    )
    with pytest.raises(FileNotFoundError) as error, replacing(tmp_path / "out.npz"):
        (tmp_path / "other").read_bytes()
    assert error.value.filename == str(tmp_path / "other")
    assert not list(tmp_path.iterdir())

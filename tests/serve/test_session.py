"""A conversation: what comes back for images and raw data, and that nothing is lost where it fails."""

import errno
import io
import re
import struct
import sys

import ismrmrd
import numpy as np
import pytest

from snraware_jax import denoising
from snraware_jax.errors import InputError
from snraware_jax.formats.images import Images
from snraware_jax.formats.mrd import read_scans, write_scan, write_scans
from snraware_jax.recon import chain
from snraware_jax.serve.protocol import Kind, Limits
from snraware_jax.serve.session import converse
from snraware_jax.serve.warm import warm, warm_raw
from snraware_jax.serve.work import Task
from tests.recon.phantom import make_scan, replace
from tests.serve.clients import Halving, cine, fuzzed, g_maps_of, images_of, pieces_of, raw_of, read_replies, stream_of

pytestmark = pytest.mark.xdist_group("serve")
TASK = Task(Halving(), units="snr")


def session(stream: bytes, task: Task = TASK, limits: Limits = Limits()):  # noqa: B008
    """Replies and log of a conversation."""
    sink, said = io.BytesIO(), []
    converse(io.BytesIO(stream), sink, task, lambda do: do(), limits, said.append)
    sink.seek(0)
    replies = read_replies(sink)
    assert replies.closed
    assert not sink.read()
    return replies, said


def test_images_are_denoised_with_their_g_map():
    """As `denoising.denoise` does it, bit for bit; the log and the client are told."""
    data, g_map = cine(), np.linspace(1, 2, 40 * 48, dtype=np.float32).reshape(1, 40, 48)

    class Network(Halving):
        def __call__(self, image, g_map):
            return image / (1 + g_map)

    replies, _ = session(stream_of([*g_maps_of(g_map), *images_of(data)]), Task(Network(), units="snr"))
    images = Images(data[:, None], "mrd", g_map=100 * g_map, units={"g_map_scale_ratio": 100.0})
    expected = denoising.denoise(Network(), images, denoising.scale_of(images, "a", units="snr"))
    np.testing.assert_array_equal(replies.series(1001), expected.data[:, 0])
    assert len(replies.images) == 4
    assert not replies.texts
    image = replies.images[2]
    assert (image.phase, image.image_index, image.field_of_view[0]) == (2, 3, 240)
    assert image.meta["ImageComments"] == f"denoised by SNRAware, model {'f' * 12}"
    assert image.meta["DataRole"] == "Image"
    assert image.meta["SequenceDescriptionAdditional"] == "SNRAware"


def test_attributes_and_order_stay():
    data = cine()
    pieces = images_of(data, ImageComments="of before", other="kept")
    replies, _ = session(stream_of([pieces[2], pieces[0], pieces[3], pieces[1]]))
    assert [image.phase for image in replies.images] == [2, 0, 3, 1]
    np.testing.assert_allclose(replies.series(1001), data[[2, 0, 3, 1]] / 2)
    assert replies.images[0].meta["ImageComments"][0] == "of before"
    assert replies.images[0].meta["other"] == "kept"
    assert (
        "NO G-MAP: taken as 1 everywhere, which parallel imaging is not; send one, of the data role GFACTOR" in replies.texts[0]
    )


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.float32, np.float64])
def test_magnitudes_need_a_model_of_them(dtype):
    data = np.abs(cine() * 50).astype(dtype)
    stream = stream_of(images_of(data))
    replies, _ = session(stream)
    assert "NOT DENOISED: series 1 is magnitude only" in replies.texts[-1]
    np.testing.assert_array_equal(replies.series(2001), data)
    assert replies.series(2001).dtype == dtype

    class Magnitudes(Halving):
        bundle = Halving.bundle.__class__(settings=Halving.bundle.__class__(magnitude=True), sha256="0" * 64)

    replies, _ = session(stream, Task(Magnitudes(), units="snr"))
    found = replies.series(1001)
    assert found.dtype == dtype
    expected = data.astype(np.float32) / 2
    np.testing.assert_array_equal(found, np.rint(expected) if np.dtype(dtype).kind in "iu" else expected)
    of_complex, _ = session(stream_of(images_of(cine())), Task(Magnitudes(), units="snr"))
    assert of_complex.images[0].image_type == ismrmrd.IMTYPE_MAGNITUDE
    np.testing.assert_allclose(of_complex.series(1001), np.abs(cine()) / 2, rtol=1e-6)


def test_one_series_fails_and_the_others_do_not():
    data = cine()
    broken = data.copy()
    broken[1, 2, 3] = np.nan
    replies, said = session(stream_of([*images_of(data, 1), *images_of(broken, 2), *images_of(data, 3)]))
    np.testing.assert_array_equal(replies.series(1001), data / 2)
    np.testing.assert_array_equal(replies.series(1003), data / 2)
    np.testing.assert_array_equal(replies.series(2002), broken)
    assert any(text.startswith("NOT DENOISED: series 2: image") for text in replies.texts)
    (comment,) = {image.meta["ImageComments"] for image in replies.images if image.image_series_index == 2002}
    assert comment.startswith("NOT DENOISED: series 2: image [frame, slice, row, column] holds 1 NaN or Inf")
    assert "series 2: 4 images sent, NOT DENOISED" in said


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (lambda image, g: image, "changed nothing"),
        (lambda image, g: image * np.nan, "not finite"),
        (lambda image, g: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_a_network_that_fails(network, message, capsys):
    class Failing(Halving):
        def __call__(self, image, g_map):
            return network(image, g_map)

    replies, _ = session(stream_of(images_of(cine())), Task(Failing(), units="snr"))
    np.testing.assert_array_equal(replies.series(2001), cine())
    assert message in replies.texts[-1]
    assert ("Traceback" in capsys.readouterr().err) == ("ZeroDivision" in message)


def test_a_log_that_cannot_be_written_loses_nothing(monkeypatch):
    """A full disk, where a failure would leave its traceback."""

    class Full(io.StringIO):
        def write(self, text):
            raise OSError(errno.ENOSPC, "No space left on device")

    class Failing(Halving):
        def __call__(self, image, g_map):
            raise RuntimeError("no device")

    monkeypatch.setattr(sys, "stderr", Full())
    replies, _ = session(stream_of(images_of(cine())), Task(Failing(), units="snr"))
    np.testing.assert_array_equal(replies.series(2001), cine())
    assert "RuntimeError: no device" in replies.texts[-1]


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        (images_of(cine(), unused="x", GADGETRON_ScaleRatio="0"), "which is no scale"),
        ([*images_of(cine()), *images_of(cine()[:, 1:])], "images of 1x1x39x48 complex64 and 1x1x40x48 complex64"),
        (images_of(cine())[:3] + images_of(cine())[:1], "not one for each of 3 frames x 1 slices"),
        (g_maps_of(np.ones((1, 4, 4))), "is of g-maps: send the images"),
        (images_of(np.angle(cine()).astype(np.float32)), "magnitude only"),
    ],
)
def test_what_is_refused_goes_back(pieces, message):
    for piece in pieces:
        if piece.data.dtype == np.float32 and piece.image_series_index == 1:
            piece.image_type = ismrmrd.IMTYPE_PHASE
            message = "series 1 is phase alone: send complex images"
    replies, _ = session(stream_of(pieces))
    assert message in replies.texts[-1]
    assert len(replies.images) == len(pieces)
    for sent, back in zip(pieces, replies.images, strict=True):
        np.testing.assert_array_equal(sent.data, back.data)


def test_units_are_measured_unless_they_are_known():
    flat = np.full((2, 20, 24), 5 + 1j, np.complex64)
    replies, _ = session(stream_of(images_of(flat)), Task(Halving()))
    assert "no background to measure the noise on" in replies.texts[-1]
    np.testing.assert_array_equal(replies.series(2001), flat)


def test_a_series_that_is_too_large_goes_back_as_it_comes():
    """Every image of it, those that came before the limit too; then the server is told no more."""
    series = [cine(seed) for seed in range(3)]
    replies, said = session(stream_of(pieces_of(series)), limits=Limits(data=100_000))
    for index, data in enumerate(series, 1):
        np.testing.assert_array_equal(replies.series(2000 + index), data)
    assert len(replies.texts) == 1
    assert "NOT DENOISED: the measurement is larger than the 100,000 bytes" in replies.texts[0]
    assert any("more images sent back" in line for line in said)
    broken, _ = session(stream_of(pieces_of(series), close=False) + b"\x09\x00", limits=Limits(data=100_000))
    assert "NOT DENOISED: message 9: there is none" in broken.texts[1]
    assert len(broken.images) == 12


class Stuck(io.BytesIO):
    """A client that does not read for a while: its system takes so many images, then one is written in vain."""

    def __init__(self, images: int):
        super().__init__()
        self.images = images

    def write(self, data) -> int:
        self.images -= bytes(data[:2]) == struct.pack("<H", Kind.IMAGE)
        if self.images < 0:
            self.images = 1000
            raise TimeoutError("timed out")
        return super().write(data)


def test_a_client_that_does_not_read_is_sent_nothing_twice_and_told_nothing_wrong():
    """Whether in the middle of what was held, or of what came after it."""
    stream, limits = stream_of(pieces_of([cine(), cine(1)])), Limits(data=100_000)
    for images in (2, 7):
        sink, said = Stuck(images), []
        with pytest.raises(TimeoutError):
            converse(io.BytesIO(stream), sink, TASK, lambda do: do(), limits, said.append)
        sink.seek(0)
        replies = read_replies(sink)
        assert len(replies.texts) == 1
        assert "the measurement is larger" in replies.texts[0]
        assert not any("nothing came" in line for line in said)
        sent = [(image.image_series_index, image.phase) for image in replies.images]
        assert len(sent) == len(set(sent)) == images


def test_a_stream_that_ends_or_breaks_gives_back_what_came():
    stream = stream_of(images_of(cine()), close=False)
    for broken, message in (
        (stream, "without CLOSE"),
        (stream + b"\x09\x00", "message 9: there is none"),
        (stream[:-100], "bytes of pixels"),
    ):
        replies, _ = session(broken)
        count = 3 if broken == stream[:-100] else 4
        np.testing.assert_array_equal(replies.series(2001), cine()[:count])
        assert message in replies.texts[0]


def test_nothing_came():
    replies, _ = session(stream_of([]))
    assert replies.texts == ["nothing to denoise: no image and no readout came before CLOSE."]


def with_attributes(image: ismrmrd.Image, xml: str) -> ismrmrd.Image:
    """An image whose attributes are any text."""
    image._Image__meta = type("Meta", (), {"serialize": lambda self: xml})()
    return image


def test_a_doctype_is_not_read():
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><ismrmrdMeta>&b;</ismrmrdMeta>'
    replies, _ = session(stream_of([with_attributes(image, bomb) for image in images_of(cine()[:1])]))
    assert "its XML has a DOCTYPE" in replies.texts[-1]
    np.testing.assert_array_equal(replies.series(2001), cine()[:1])


@pytest.mark.parametrize("depth", [2_000, 100_000])
@pytest.mark.parametrize("close", [True, False])
def test_attributes_too_deep_to_be_written_again(depth, close):
    """Images come back, denoised or as they came, with attributes of their own."""
    deep = f"<ismrmrdMeta>{'<a>' * depth}{'</a>' * depth}</ismrmrdMeta>"
    replies, _ = session(stream_of([with_attributes(image, deep) for image in images_of(cine())], close))
    np.testing.assert_array_equal(replies.series(1001 if close else 2001), cine() / 2 if close else cine())
    assert all("ImageComments" in image.meta for image in replies.images)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    path = tmp_path_factory.mktemp("raw") / "raw data"
    write_scan(path, make_scan())
    return path


def test_raw_data_is_reconstructed_and_denoised(raw):
    """As `chain.reconstruct` and `denoising.denoise` do it; with geometry, g-map, and waveforms left out."""
    waveform = ismrmrd.Waveform.from_array(np.ones((1, 9), np.uint32))
    header, *readouts = raw_of(raw)
    for readout in readouts:
        readout.position = (1, 2, 3)
    replies, said = session(stream_of([header, waveform, *readouts]), Task(Halving()))
    (scan,) = read_scans(raw)
    series = chain.reconstruct(scan, (scan.acceleration,))
    np.testing.assert_allclose(replies.series(1), series.image / 2, rtol=1e-5)
    np.testing.assert_array_equal(replies.series(3)[0], series.g_map)
    assert len(replies.images) == len(series.image) + 1
    first, second, g_map = replies.images
    assert (first.phase, second.phase, first.image_index, second.image_index) == (0, 1, 1, 2)
    assert tuple(first.position) == (1, 2, 3)
    assert tuple(first.read_dir) == (1, 0, 0)
    assert tuple(first.field_of_view) == pytest.approx((*reversed(scan.fov_mm), 1.0))
    assert (first.image_type, g_map.image_type) == (ismrmrd.IMTYPE_COMPLEX, ismrmrd.IMTYPE_MAGNITUDE)
    assert g_map.meta["DataRole"] == "GFACTOR"
    assert first.meta["ImageComments"].endswith("SNR units: noise SD 1 before denoising")
    assert f"raw data ({len(readouts)} readouts): 3 images sent" in said


def test_noise_maps(raw):
    """Half of the image has half of the noise."""
    replies, _ = session(stream_of(raw_of(raw)), Task(Halving(), noise_map=True))
    assert sorted(image.image_series_index for image in replies.images) == [1, 1, 3, 4, 4]
    assert replies.images[2].meta["DataRole"] == "NoiseSD"
    assert np.median(replies.series(4)) == pytest.approx(0.5, rel=0.1)


def test_slices_go_through_the_network_as_a_volume(tmp_path):
    scan, seen = make_scan(frames=1), []

    class Seeing(Halving):
        def __call__(self, image, g_map):
            seen.append((image.shape, g_map.shape))
            return image / 2

    path = tmp_path / "raw data"
    write_scans(path, [replace(scan, name="a"), replace(scan, name="b", kspace=2 * scan.kspace)])
    replies, _ = session(stream_of(raw_of(path)), Task(Seeing()))
    assert seen == [((2, 48, 40), (2, 48, 40))]
    assert [image.slice for image in replies.images] == [0, 1, 0, 1]
    np.testing.assert_allclose(replies.series(1)[1], 2 * replies.series(1)[0], rtol=1e-4, atol=1e-4)


def test_raw_data_that_is_not_denoised_is_reconstructed(raw):
    class Failing(Halving):
        def __call__(self, image, g_map):
            raise RuntimeError("no device")

    replies, said = session(stream_of(raw_of(raw)), Task(Failing()))
    assert sorted(image.image_series_index for image in replies.images) == [2, 2, 3]
    assert replies.images[0].meta["ImageComments"].startswith("NOT DENOISED: the server failed (RuntimeError: no device)")
    assert "NOT DENOISED: the server failed" in replies.texts[-1]


def test_raw_data_that_cannot_be_reconstructed(raw):
    header, *readouts = raw_of(raw)
    for stream, message in (
        (stream_of(readouts), "readouts without the header of the measurement"),
        (stream_of([header, *readouts]).replace(b"ascii", b"assii", 1), "not an ISMRMRD header"),
        (stream_of([header, *readouts[-20:]]), "raw data has no noise readouts"),
        (stream_of([header, *readouts[:-1]]), "Convert the whole measurement again|missing"),
    ):
        replies, _ = session(stream)
        assert not replies.images
        assert "NOT DENOISED" in replies.texts[-1]
        assert any(part in replies.texts[-1] for part in message.split("|"))


def test_a_header_that_claims_a_huge_matrix(raw):
    """Refused before room is made for it."""
    header, *readouts = raw_of(raw)
    space = header.encoding[0].encodedSpace.matrixSize
    space.y, header.encoding[0].encodingLimits.kspace_encoding_step_1.center = 60_000, 30_000
    replies, _ = session(stream_of([header, *readouts]))
    assert "2 frames of 80 x 60000 x 1 (x, y, z) take 614,400,000 bytes" in replies.texts[-1]


def test_a_noise_scan_of_another_measurement(raw):
    header, *readouts = raw_of(raw)
    imaging = [one for one in readouts if not one.is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)]
    replies, _ = session(stream_of([header, *imaging]), Task(Halving(), noise=raw))
    expected, _ = session(stream_of([header, *readouts]), Task(Halving()))
    np.testing.assert_array_equal(replies.series(1), expected.series(1))


def test_damaged_streams_end_with_close(raw, capsys):
    """Whatever is damaged, a session ends, and says CLOSE."""
    image_stream, raw_stream = stream_of(images_of(cine())), stream_of(raw_of(raw))
    for number in range(60):
        session(fuzzed(image_stream, number), limits=Limits(data=1 << 22))
    for number in range(0, 60, 6):
        session(fuzzed(raw_stream, number), limits=Limits(data=1 << 22))


def test_warm(raw):
    """A session before the first client's; what it could not denoise it could not denoise for others."""
    assert re.fullmatch(r"compiled in -?[0-9.]+ s, 20x24x3 takes [0-9.]+ s", warm(Task(Halving()), (3, 20, 24)))
    assert f"{raw} takes" in warm_raw(Task(Halving()), raw)

    class Failing(Halving):
        def __call__(self, image, g_map):
            return image

    for start in (lambda task: warm(task, None), lambda task: warm_raw(task, raw)):
        with pytest.raises(InputError, match=r"--warm .*: NOT DENOISED: the network changed nothing"):
            start(Task(Failing()))

"""Messages come back as they were written, agree with the ismrmrd package, and are refused before room is made for them."""

import io
import tracemalloc

import ismrmrd
import numpy as np
import pytest
from ismrmrd.hdf5 import acquisition_header_dtype, image_header_dtype, waveform_header_dtype
from ismrmrd.serialization import ConfigText, ProtocolDeserializer, ProtocolSerializer

from snraware_jax.serve import protocol
from snraware_jax.serve.protocol import Damaged, Image, Kind, Limits, Readout, Text
from tests.serve.clients import huge_image, stream_of

SHAPES = [(1, 1, 1, 1), (1, 1, 5, 7), (3, 2, 4, 1), (1, 9, 8, 6), (2, 1, 0, 3)]


def written(*write) -> io.BytesIO:
    """The stream that functions write, CLOSE behind them."""
    stream = io.BytesIO()
    for one in write:
        one(stream)
    protocol.write_close(stream)
    stream.seek(0)
    return stream


def test_headers_have_the_sizes_of_the_protocol():
    assert [one.itemsize for one in (acquisition_header_dtype, image_header_dtype, waveform_header_dtype)] == [340, 198, 40]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", protocol.TYPE_NUMBERS, ids=str)
def test_images_come_back(shape, dtype):
    rng = np.random.default_rng(0)
    pixels = (100 * rng.normal(size=shape)).astype(dtype.char.lower() if dtype.kind != "c" else dtype)
    head = np.zeros((), image_header_dtype)[()]
    head["image_series_index"], head["position"] = 12, (1, 2, 3)
    attributes = "" if shape[0] == 1 else "<ismrmrdMeta>\N{GREEK SMALL LETTER MU}</ismrmrdMeta>"
    stream = written(lambda sink: protocol.write_image(sink, Image(head, attributes, pixels.astype(dtype))))
    (found,) = protocol.messages(stream, Limits())
    assert found.attributes == attributes
    assert found.pixels.dtype == dtype
    np.testing.assert_array_equal(found.pixels, pixels.astype(dtype))
    assert (found.head["image_series_index"], *found.head["position"]) == (12, 1, 2, 3)
    assert not stream.read()


@pytest.mark.parametrize(("coils", "samples"), [(1, 1), (3, 17), (8, 256), (2, 0)])
def test_readouts_come_back(coils, samples):
    rng = np.random.default_rng(1)
    values = rng.normal(size=(coils, samples, 2)).astype(np.float32).view(np.complex64)[..., 0]
    head = np.zeros((), acquisition_header_dtype)[()]
    head["active_channels"], head["number_of_samples"], head["scan_counter"] = coils, samples, 5
    (found,) = protocol.messages(written(lambda sink: protocol.write_readout(sink, Readout(head, values))), Limits())
    np.testing.assert_array_equal(found.samples, values)
    assert found.head["scan_counter"] == 5


def test_texts_come_back():
    texts = [
        Text(Kind.CONFIG_FILE, "a.xml"),
        Text(Kind.CONFIG_TEXT, ""),
        Text(Kind.METADATA, "<x/>"),
        Text(Kind.TEXT, "\N{PILCROW SIGN}"),
    ]
    stream = written(*(lambda sink, one=one: protocol.write_text(sink, *one) for one in texts))
    assert list(protocol.messages(stream, Limits())) == texts
    (text,) = protocol.messages(written(lambda sink: protocol.write_text(sink, Kind.TEXT, "\udcff.h5: no file")), Limits())
    assert text == Text(Kind.TEXT, "?.h5: no file")
    with pytest.raises(ValueError, match="1024 are the most"):
        protocol.write_text(io.BytesIO(), Kind.CONFIG_FILE, "x" * 1024)


def test_the_ismrmrd_package_is_understood():
    """Trajectories and waveforms are read, and left out."""
    acquisition = ismrmrd.Acquisition.from_array(np.ones((2, 5), np.complex64), np.ones((5, 3), np.float32), scan_counter=4)
    waveform = ismrmrd.Waveform.from_array(np.ones((3, 70), np.uint32), waveform_id=1)
    image = ismrmrd.Image.from_array(np.ones((1, 1, 4, 6), np.uint16), image_index=9)
    stream = io.BytesIO(stream_of([ConfigText("c"), waveform, acquisition, waveform, image, "t"], config="name"))
    config, other, readout, found, text = protocol.messages(stream, Limits())
    assert (config.text, other.text, text.text) == ("name", "c", "t")
    assert readout.samples.shape == (2, 5)
    assert readout.head["scan_counter"] == 4
    assert found.pixels.shape == (1, 1, 4, 6)
    assert found.head["image_index"] == 9


def test_the_ismrmrd_package_understands():
    head = np.zeros((), image_header_dtype)[()]
    pixels = np.arange(24, dtype=np.complex64).reshape(1, 1, 4, 6)
    attributes = "<ismrmrdMeta><meta><name>a</name><value>b</value></meta></ismrmrdMeta>"
    stream = written(lambda sink: protocol.write_image(sink, Image(head, attributes, pixels)))
    (found,) = ProtocolDeserializer(stream).deserialize()
    np.testing.assert_array_equal(found.data, pixels)
    assert found.meta["a"] == "b"
    assert tuple(found.matrix_size) == (6, 4, 1)


def serialised(*pieces) -> bytes:
    stream = io.BytesIO()
    writer = ProtocolSerializer(stream)
    for piece in pieces:
        writer.serialize(piece)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (b"", "ends after 0 of 2 bytes"),
        (b"\x09\x00", "message 9: there is none"),
        (b"\x05\x00\xff\xff\xff\xff", r"TEXT of 4,294,967,295 bytes, where 65,536 are accepted"),
        (huge_image(), r"an image of 34,358,689,800 bytes \(1 x 1 x 65535 x 65535 complex64\)"),
        (serialised(ismrmrd.Image.from_array(np.ones((4, 4), np.float32)))[:-1], "ends after 63 of 64 bytes of pixels"),
        (b"\xfe\x03" + bytes(2) + b"\x63" + bytes(195), "data type 99"),
        (b"\xfe\x03" + bytes(2) + b"\x05" + bytes(195) + b"\xff" * 8, "attributes of 18,446,744,073,709,551,615 bytes"),
        (b"\x02\x04" + b"\xff" * 40, "ends after 40 of 40|a waveform of"),
        (b"\xf0\x03" + b"\xff" * 340, "a readout of"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_damage_is_refused_before_room_is_made(stream, message):
    tracemalloc.start()
    with pytest.raises(Damaged, match=message):
        list(protocol.messages(io.BytesIO(stream), Limits(1 << 20, 1 << 16, 1 << 16)))
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()

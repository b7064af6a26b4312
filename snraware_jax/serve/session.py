"""One measurement over one connection: what came is held until CLOSE, denoised, and sent back.

Whatever fails, every image that came goes back: in a series of its own that says why it is not denoised, with a TEXT that says it too.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import BinaryIO

from snraware_jax.errors import InputError
from snraware_jax.serve import protocol, work
from snraware_jax.serve.protocol import Image, Kind, Limits, Message, Readout
from snraware_jax.serve.work import Answer, Task

Ask = Callable[[Callable[[], Answer]], Answer]  # runs work where the network is
Say = Callable[[str], None]
OVERHEAD = 1024  # bytes of the objects that hold a message
TEXTS = 20  # of one client that are worth a line of the log


@dataclass
class Measurement:
    """What came over a connection.

    Attributes:
      xml: the header of the measurement.
      readouts: of raw data.
      series: images by image_series_index.
      nbytes: of all this.
      texts: how many came.
      given_back: why its images went back as they came, or were begun to; None: they are held.
      passed_on: images that came after that, and went back at once.
    """

    xml: str = ""
    readouts: list[Readout] = field(default_factory=list)
    series: dict[int, list[Image]] = field(default_factory=dict)
    nbytes: int = 0
    texts: int = 0
    given_back: str | None = None
    passed_on: int = 0

    def hold(self, message: Message, limits: Limits) -> None:
        """Keeps what belongs to the measurement.

        Raises:
          InputError: if that would be more than the limits allow; it is not kept then.
        """
        if not isinstance(message, Readout | Image):
            self.xml = message.text if message.kind is Kind.METADATA else self.xml
            self.texts += 1
            return
        nbytes = message.nbytes + OVERHEAD
        if self.nbytes + nbytes > limits.data:
            raise InputError(
                f"the measurement is larger than the {limits.data:,} bytes that are held: send it in parts, or raise --max-mb."
            )
        self.nbytes += nbytes
        if isinstance(message, Readout):
            self.readouts.append(message)
        else:
            self.series.setdefault(int(message.head["image_series_index"]), []).append(message)


def converse(source: BinaryIO, sink: BinaryIO, task: Task, ask: Ask, limits: Limits, say: Say) -> None:
    """Everything of one connection, CLOSE included.

    Args:
      source, sink: its two directions; where reading ends in an InputError, it says why, and where it takes too long it is a
        TimeoutError.
      task: what is done.
      ask: runs work where the network is, and returns what it answers; or raises an InputError that says why it does not.
      limits: of what is accepted.
      say: a line for the log.

    Raises:
      OSError: if the client cannot be reached any more, or does not take what is sent.
    """
    measurement = Measurement()
    failure = _receive(source, sink, measurement, limits, say)
    if failure is None:
        _answer(sink, measurement, task, ask, say)
    elif measurement.given_back is None:
        _give_back(sink, measurement, failure, say)
    else:
        if failure != measurement.given_back:  # what ended the rest
            _tell(sink, f"NOT DENOISED: {failure}", say)
        say(f"{measurement.passed_on} more images sent back as they came")
    protocol.write_close(sink)
    sink.flush()


def _receive(source: BinaryIO, sink: BinaryIO, measurement: Measurement, limits: Limits, say: Say) -> str | None:
    """Holds what comes until CLOSE; what there is no room for goes back at once. Returns why it cannot be used."""
    failure, coming = None, protocol.messages(source, limits)
    while True:
        try:  # only what reading raises: a client that takes nothing is not one of which nothing came
            message = next(coming, None)
        except TimeoutError:
            return "nothing came for too long: send CLOSE where a measurement ends, or raise --idle."
        except InputError as error:
            return str(error)
        except MemoryError:
            return "no memory for what came: send it in parts."
        if message is None:
            return failure
        if failure is None:
            try:
                measurement.hold(message, limits)
            except InputError as error:
                failure = str(error)
                _give_back(sink, measurement, failure, say)
            else:
                _log(message, measurement, say)
                continue
        if isinstance(message, Image):
            _send(sink, work.originals([message], failure))
            measurement.passed_on += 1


def _log(message: Message, measurement: Measurement, say: Say) -> None:
    """What a client asks for by name: this server does one thing, whatever it is called."""
    if not isinstance(message, protocol.Text) or measurement.texts > TEXTS:
        return
    if message.kind is not Kind.METADATA and message.text:
        say(f"{message.kind.name} not needed: {message.text[:100]!r}")


def _answer(sink: BinaryIO, measurement: Measurement, task: Task, ask: Ask, say: Say) -> None:
    series = measurement.series
    maps = [images for images in series.values() if work.is_g_map(images[0])]
    if not series and not measurement.readouts:
        _tell(sink, "nothing to denoise: no image and no readout came before CLOSE.", say)
    for index, images in series.items():
        name = f"series {index}"
        otherwise = partial(work.originals, images)
        if any(images is one for one in maps):
            if len(maps) < len(series):
                continue  # used with the others
            answer = otherwise(f"{name} is of g-maps: send the images that they belong to.")
        else:
            answer = _asked(ask, partial(work.denoised, task, name, images, maps), otherwise)
        _report(sink, name, answer, say)
    if measurement.readouts:
        name, count = "raw data", len(measurement.readouts)
        answer = _asked(
            ask, partial(work.from_raw, task, name, measurement.xml, measurement.readouts), lambda why: Answer([], failure=why)
        )
        _report(sink, f"{name} ({count} readouts)", answer, say)


def _asked(ask: Ask, do: Callable[[], Answer], otherwise: Callable[[str], Answer]) -> Answer:
    try:
        return ask(partial(work.attempted, do, otherwise))
    except InputError as error:  # it was not even begun
        return otherwise(str(error))


def _report(sink: BinaryIO, name: str, answer: Answer, say: Say) -> None:
    """Sends an answer, and says what it is."""
    for line in answer.said:
        _tell(sink, line, say)
    if answer.failure is not None:
        _tell(sink, f"NOT DENOISED: {answer.failure}", say)
    _send(sink, answer)
    say(f"{name}: {len(answer.images)} images sent" + (", NOT DENOISED" if answer.failure is not None else ""))


def _give_back(sink: BinaryIO, measurement: Measurement, failure: str, say: Say) -> None:
    """All images held, as they came."""
    series = measurement.series
    # before anything is sent: where that fails, nothing is sent a second time
    measurement.series, measurement.readouts, measurement.given_back = {}, [], failure
    _tell(sink, f"NOT DENOISED: {failure}", say)
    for images in series.values():
        _send(sink, work.originals(images, failure))
    say(f"{sum(map(len, series.values()))} images sent back as they came")


def _tell(sink: BinaryIO, line: str, say: Say) -> None:
    protocol.write_text(sink, Kind.TEXT, line)
    say(line)


def _send(sink: BinaryIO, answer: Answer) -> None:
    for image in answer.images:
        protocol.write_image(sink, image)
    sink.flush()

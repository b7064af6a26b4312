"""First pass of a contrast agent: its concentration in every compartment, and what a saturation-recovery image makes of it."""

from typing import NamedTuple

import numpy as np

from data_pipeline.simulator.contrast import TISSUES
from data_pipeline.simulator.motion import Timing
from data_pipeline.simulator.subject import Settings

RELAXIVITY = {1.5: (4.5, 5.5), 3.0: (3.7, 5.2)}  # r1 and r2 of gadolinium, 1 / (s mM)
SATURATION_S = 0.1  # delay from the saturation pulse to the centre of k-space
ECHO_S = 1.2e-3
DENSITY = 1.05  # of tissue, g / ml
FLOW_LAG_S = 1.5


class Weights(NamedTuple):
    """Magnetisation `[T]` of every tissue at the readout over its equilibrium, and that of myocardium with poor supply; empty for
    protocols without a contrast agent."""

    tissues: dict[str, np.ndarray]
    defect: np.ndarray


def weights(card: dict, settings: Settings, when: Timing, rng: np.random.Generator) -> Weights:
    """Weights of a first pass; of other protocols none.

    Right heart first, the left one some seconds later and dispersed, myocardium by its blood flow (0.6-1.2 ml/g/min at rest,
    1.5-3.5 under stress), liver and spleen late.

    Source: Jerosch-Herold, JCMR 2010 (Fermi residue); Kellman & Arai, JCMR 2007 (saturation recovery).
    """
    if settings.kind != "perfusion":
        return Weights({}, np.zeros(0))
    time = np.arange(0, when.seconds[-1] + 60, 0.1)  # past the last frame: the tail follows from the whole bolus
    arrival, peak = rng.uniform(4, 8), rng.uniform(4, 8)
    shape, width = rng.uniform(2, 4), rng.uniform(1.2, 2.0)
    right = peak * 1.2 * gamma_variate(time, arrival, shape, width)
    left = peak * gamma_variate(time, arrival + rng.uniform(4, 8), shape, 1.35 * width)
    tail = lambda bolus: bolus + 0.22 * peak * np.cumsum(bolus) / max(np.sum(bolus), 1e-9)
    right, left = tail(right), tail(left)
    flow = rng.uniform(1.5, 3.5) if settings.stress else rng.uniform(0.6, 1.2)
    poor = flow * rng.uniform(0.2, 0.6) if rng.random() < 0.4 else flow
    muscle, starved = (uptake(time, left, mbf) for mbf in (flow, poor))
    compartments = {"blood": left, "venous": right, "myocardium": muscle, "spleen": uptake(time, left, 1.5),
                    "liver": uptake(time, left, 0.7), "lung": 0.3 * right, "muscle": uptake(time, left, 0.08)}  # fmt: skip
    at_frames = lambda curve: np.interp(when.seconds, time, curve)
    of = lambda name, curve: recovered(name, at_frames(curve), settings.field_strength)
    none = np.zeros_like(time)
    return Weights({name: of(name, compartments.get(name, none)) for name in TISSUES}, of("myocardium", starved))


def gamma_variate(time: np.ndarray, arrival: float, shape: float, width: float) -> np.ndarray:
    """((t - t0) / tm)^a exp(a (1 - (t - t0) / tm)), 1 at its peak t0 + tm, tm = a b; 0 before t0."""
    part = np.maximum(time - arrival, 0) / (shape * width)
    return part**shape * np.exp(shape * (1 - part))


def uptake(time: np.ndarray, arterial: np.ndarray, flow: float) -> np.ndarray:
    """Concentration in tissue (mM): the arterial one convolved with flow x Fermi residue R(t) = (1 + e^(-k m)) / (1 + e^(k (t - m))).

    Args:
      time: s, evenly spaced.
      arterial: mM.
      flow: ml/g/min.
    """
    steepness, delay = 0.25 + 0.15 * flow, 6.0 / max(flow, 0.2)
    residue = (1 + np.exp(-steepness * delay)) / (1 + np.exp(steepness * (time - delay)))
    lagged = np.interp(time - FLOW_LAG_S, time, arterial, left=0)
    return DENSITY * flow / 60 * np.convolve(lagged, residue)[: len(time)] * (time[1] - time[0])


def recovered(tissue: str, concentration: np.ndarray, field: float) -> np.ndarray:
    """Magnetisation (1 - exp(-TS R1)) exp(-TE R2), R = R_0 + r c; `[T]`."""
    column = 0 if field == 1.5 else 1
    r1, r2 = RELAXIVITY[field]
    rate1 = 1e3 / TISSUES[tissue].t1[column] + r1 * concentration
    rate2 = 1e3 / TISSUES[tissue].t2[column] + r2 * concentration
    return ((1 - np.exp(-SATURATION_S * rate1)) * np.exp(-ECHO_S * rate2)).astype(np.float32)


def weighted(signals: dict[str, np.ndarray], factors: Weights, frame: int) -> dict[str, np.ndarray]:
    """Tissue signals of one frame."""
    if not factors.tissues:
        return signals
    return {name: signal * factors.tissues[name][frame] for name, signal in signals.items()}


def with_defect(muscle: np.ndarray, factors: Weights, frame: int, around: np.ndarray, card: dict) -> np.ndarray:
    """The myocardium's signal with a sector of poor supply about the card's defect angle; `around` as in `heart.Beating`."""
    if not factors.tissues:
        return muscle
    normal, starved = factors.tissues["myocardium"][frame], factors.defect[frame]
    sector = np.exp(4 * (np.cos(around - np.float32(np.deg2rad(card["defect_angle_deg"]))) - 1))
    return muscle * (1 + sector * np.float32(starved / normal - 1))

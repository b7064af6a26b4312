"""The paper's scans (Table 1) as settings of the simulator, by name.

MPRAGE stands in for the row that the paper labels with turbo spin echo, TE 7.2 ms and TI 200 ms, labels that do not fit together
(docs/data.md): a usual one is simulated, and fewer partitions than a whole head.
"""

from data_pipeline.simulator.subject import Settings

_CINE = Settings(matrix=(144, 256), frames=30, coils=16, calibration_lines=48, fov_mm=(270.0, 360.0), zoom=(0.7, 1.15),
                 signal_snr=(120.0, 600.0))  # fmt: skip
_AT_1_5_T = {"field_strength": 1.5, "coils": 16}
_FIRST_PASS = {
    "kind": "perfusion", "matrix": (108, 256), "frames": 60, "slices": 3, "slice_mm": 20.0, "acceleration": 4, "calibration_lines": 36,
    "fov_mm": (270.0, 360.0), "zoom": (0.85, 1.1), "tr_ms": 2.5, "signal_snr": (70.0, 350.0),
} | _AT_1_5_T  # fmt: skip

TABLE_1 = {
    "retro_cine": _CINE,
    "realtime_cine": Settings(
        kind="realtime_cine", matrix=(110, 192), frames=60, acceleration=5, calibration_lines=40, sampling="interleaved",
        fov_mm=(270.0, 360.0), zoom=(0.85, 1.1), tr_ms=2.27, frame_ms=39.0, signal_snr=(70.0, 350.0), **_AT_1_5_T,
    ),
    "perfusion_stress": Settings(**_FIRST_PASS, stress=True),
    "perfusion_rest": Settings(**_FIRST_PASS),
    "mprage": Settings(
        kind="mprage", matrix=(256, 256), partitions=48, slice_mm=1.0, frames=1, acceleration=(2, 2), calibration_lines=24,
        array="helmet", fov_mm=(250.0, 250.0), zoom=(1.0, 1.0), fine=1, flip_deg=9.0, tr_ms=8.0, **_AT_1_5_T,
    ),
    "spine": Settings(
        kind="spine", matrix=(448, 448), slices=15, slice_mm=4.0, frames=1, acceleration=2, calibration_lines=48, array="spine",
        fov_mm=(340.0, 340.0), zoom=(1.0, 1.0), fine=2, flip_deg=150.0, tr_ms=3000.0, **_AT_1_5_T,
    ),
    "phantom_r2": Settings(
        kind="phantom", matrix=(144, 192), frames=1, acceleration=2, fov_mm=(210.0, 280.0), zoom=(1.0, 1.0), array="birdcage",
        flip_deg=12.0, tr_ms=8.0,
        **_AT_1_5_T,
    ),
    "phantom_r4": Settings(
        kind="phantom", matrix=(144, 192), frames=1, acceleration=4, fov_mm=(210.0, 280.0), zoom=(1.0, 1.0), array="birdcage",
        flip_deg=12.0, tr_ms=8.0,
        **_AT_1_5_T,
    ),
}  # fmt: skip

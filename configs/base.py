"""Every field of an experiment, once, with the paper's values; the other files of this folder change what differs.

--config=configs/hrnet_cnnt.py           the paper's sizes, for accelerators
--config=configs/hrnet_cnnt.py:quick     minutes on 2 CPU cores
--config.train.steps=100                 any field, on the command line
"""

from ml_collections import ConfigDict


def get_config(size: str = "paper") -> ConfigDict:
    """The fields at `size`, "paper" or "quick"."""
    config = ConfigDict()
    config.seed = 0  # of parameters, data order, crops and noise
    config.batch_size = 128  # samples of a step over all devices; the paper does not state its own

    config.data = ConfigDict()
    config.data.path = ""  # folder of launch/prepare_data.py; empty: simulate into WORKDIR/data
    config.data.patch = (16, 64, 64)  # T, H, W
    config.data.threads = 2  # that read and crop ahead of the training, in each process
    config.data.workers = 0  # processes that do so; 0: threads of the program, which is faster unless cropping holds it up
    config.data.augmentation = "paper"  # none; "upstream": flips, other matrices, single frames (data_pipeline/patches.py)

    config.data.simulation = ConfigDict()  # used where data.path is empty
    config.data.simulation.seed = 0  # apart from `seed`: another training run, the same subjects
    config.data.simulation.subjects = (4096, 64, 16)  # train, validation, test
    config.data.simulation.raw = False  # whether series go through raw scans, whose aliasing is in them; several times as slow
    config.data.simulation.matrix = (144, 256)  # ky, kx
    config.data.simulation.frames = 30
    config.data.simulation.coils = 8
    config.data.simulation.signal_snr = (120.0, 600.0)  # 99.5th percentile of a series in SNR units
    config.data.simulation.fine = 2  # points per line on which the object is drawn
    config.data.simulation.acceleration = 2
    config.data.simulation.calibration_lines = 48

    config.noise = ConfigDict()  # snraware_jax/noise/settings.py says what each one is
    config.noise.sigma_min = 0.0
    config.noise.sigma_max = 32.0
    config.noise.sigma_distribution = "uniform"
    config.noise.gaussian_sigmas = (0.8, 1.0, 1.5, 2.0, 2.25)
    config.noise.temporal_probability = 0.0
    config.noise.temporal_sigmas = (0.25, 0.5, 0.65, 0.85, 1.0, 1.5, 2.0, 2.25)
    config.noise.partial_fourier_axes = "independent"
    config.noise.partial_fourier_probability = 0.5
    config.noise.partial_fourier_ratios = (1.0, 0.85, 0.7, 0.65, 0.55)
    config.noise.taper_samples = 10
    config.noise.resolution_ratios = (1.0, 0.85, 0.7, 0.65, 0.55)
    config.noise.order = "g_then_filter"
    config.noise.g_maps = "random"
    config.noise.filters = True
    config.noise.margin = 8

    config.model = ConfigDict()  # snraware_jax/models says what each one is; the patch size is data.patch
    config.model.backbone = "hrnet"
    config.model.cells = "T1T1T1"
    config.model.channels = 64
    config.model.levels = 2
    config.model.heads = 64
    config.model.window_heads = 8
    config.model.window = (16, 8, 8)  # T, H, W
    config.model.window_patch = (4, 4)  # H, W
    config.model.relative_bias = False
    config.model.cosine = True
    config.model.gates = False
    config.model.mixer_ratio = 4.0
    config.model.norm = "layer"
    config.model.stochastic_depth = 0.1
    config.model.input = "complex_g"
    config.model.head = "none"
    config.model.remat = True
    config.model.dtype = "bfloat16"  # of the operands of products; all else is float32

    config.vgg_weights = ""  # torchvision's vgg16 file (.pth; or .safetensors, .npz); without it there is no perceptual loss
    config.loss = ConfigDict()  # weights
    config.loss.charbonnier = 1.0
    config.loss.perpendicular = 1.0
    config.loss.gradient = 1.0
    config.loss.perceptual = 1.0

    config.optimizer = ConfigDict()
    config.optimizer.name = "sign_momentum"  # what the authors' Sophia comes to; or sophia, adamw, lion
    config.optimizer.schedule = "one_cycle"  # or cosine, constant
    config.optimizer.lr_peak = 1e-5
    config.optimizer.beta1 = 0.9
    config.optimizer.beta2 = 0.9
    config.optimizer.cycle_momentum = False  # beta1 of sign_momentum from 0.95 down to 0.85 and back, as the authors' code does
    config.optimizer.weight_decay = 0.0
    config.optimizer.clip_norm = 1.0
    config.optimizer.rho = 0.05  # Sophia's, likewise below: factor on its curvature
    config.optimizer.estimator = "gnb"  # of the curvature, Gauss-Newton-Bartlett; or hutchinson
    config.optimizer.refresh_every = 10  # steps that one estimate serves
    config.optimizer.warmup = 0.3  # share of the steps before the peak of the schedule

    config.train = ConfigDict()
    config.train.epochs = 80  # the budget, unless `steps` or `minutes` are given
    config.train.steps = 0
    config.train.minutes = 0.0  # of steps, whose number is measured at the first start
    config.train.ema = 0.999  # decay of the averaged parameters that are evaluated and exported
    config.train.log_every = 50  # steps, likewise below
    config.train.evaluate_every = 1000
    config.train.checkpoint_every = 1000
    config.train.checkpoint_minutes = 5.0  # and when this long has passed since the last
    config.train.accumulate = 1  # parts of a batch whose gradients are computed one after another, for less memory
    config.train.stuck_minutes = 15.0  # that a step, a batch, a save or an evaluation may last before the process ends itself
    config.train.heartbeat_seconds = 60.0  # of silence after which one of several processes counts as lost

    config.evaluation = ConfigDict()
    config.evaluation.peak_snr = (4.0, 8.0, 16.0)  # noise levels of the fixed test set: max |clean| over sigma
    config.evaluation.series = 8  # of the test set
    config.evaluation.tile = (16, 64, 64)  # T, H, W in one pass of the network; 0 is the whole axis
    config.evaluation.overlap = (8, 16, 16)
    config.evaluation.baselines = True  # Gaussian and TV-3D beside the network

    config.mesh = ConfigDict()
    config.mesh.fsdp = 1  # devices over which parameters are split; the rest of them share the batch

    config.profile = ConfigDict()
    config.profile.steps = ""  # "10:13": what these steps do in detail, in WORKDIR/profile

    if size == "quick":
        quick(config)
    elif size != "paper":
        raise ValueError(f"size {size!r} does not exist: write CONFIG.py for the paper's or CONFIG.py:quick")
    return config.lock()


def quick(config: ConfigDict) -> None:
    """Small enough that 2 CPU cores simulate, train and evaluate in minutes; the structure stays that of the paper."""
    config.batch_size = 8
    config.data.patch = (8, 24, 24)
    config.data.simulation.update(
        subjects=(24, 4, 4), matrix=(96, 128), frames=16, calibration_lines=32, signal_snr=(60.0, 200.0)
    )
    config.noise.update(sigma_min=0.8, sigma_distribution="log_uniform")
    config.model.update(channels=8, heads=8, mixer_ratio=2.0, stochastic_depth=0.0, remat=False, dtype="float32")
    config.optimizer.update(name="adamw", lr_peak=3e-3, beta1=0.9, beta2=0.99, warmup=0.1)
    config.train.update(steps=150, ema=0.98, log_every=10, evaluate_every=50, checkpoint_every=50)
    config.evaluation.update(series=4, tile=(16, 24, 24), overlap=(0, 8, 8))

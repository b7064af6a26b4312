"""The figures of docs/physics.md, by section; importing a module registers its figures in `style.FIGURES`."""

# in the order of the text
from docs.figures import noise, unmixing, g_and_replicas, whole_chain, after_image, agreement, synthetic_noise  # noqa: F401  # isort: skip

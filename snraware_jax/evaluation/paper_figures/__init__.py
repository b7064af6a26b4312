"""Counterparts of the paper's figures, of simulated scans: 1 training samples, 3 phantom, 4 and 5 heart, 6 brain and spine.

Each is a function from arrays to a matplotlib Figure and the numbers printed on it (JSON values); `pictures.save` writes it. A method's
result is an `Output`, its series and, if measured, the noise left in it.
"""

from snraware_jax.evaluation.paper_figures.anatomies import figure_6
from snraware_jax.evaluation.paper_figures.heart import figure_4, figure_5
from snraware_jax.evaluation.paper_figures.panels import Output
from snraware_jax.evaluation.paper_figures.phantom import figure_3
from snraware_jax.evaluation.paper_figures.samples import figure_1

__all__ = ["Output", "figure_1", "figure_3", "figure_4", "figure_5", "figure_6"]

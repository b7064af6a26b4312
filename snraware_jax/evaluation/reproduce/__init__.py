"""The paper's Tables 2 and 3 and its figures, each by one command: `python -m snraware_jax.evaluation.reproduce`."""

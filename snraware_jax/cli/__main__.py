"""`python -m snraware_jax.cli`."""

import sys

from snraware_jax.cli import main

sys.exit(main())

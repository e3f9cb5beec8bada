"""`python -m andon_models` is `andon-models`."""

import sys

from .cli import main

sys.exit(main())

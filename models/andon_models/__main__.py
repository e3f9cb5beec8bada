"""`python -m andon_models` is `andon-models`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())

"""How every stage is run: an error that is meant for the user is shown without a traceback."""

import sys
from collections.abc import Callable

from medq_engine.errors import MedqError


def run(main: Callable[[], None]) -> None:
    """Run a stage; a MedqError ends it with its message and exit code 1."""
    try:
        main()
    except MedqError as error:
        sys.exit(f"\n{error}\n")

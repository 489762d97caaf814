"""`python -m CPS4Core` is the command `cps4`."""

import sys

from CPS4Core.cli.main import main

sys.exit(main())

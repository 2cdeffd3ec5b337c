"""What `make bench` runs."""

import sys

from echo import main

sys.exit(main())

# SPDX-License-Identifier: MIT
"""``python -m resonance_tuning.actuator``."""

import sys

from resonance_tuning.actuator.process import main

sys.exit(main())

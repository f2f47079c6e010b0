# SPDX-License-Identifier: MIT
"""Does a change help, and which would be next? Pure, and never in the process that writes.

`evidence` and `transport` compare what was seen; `trial` does so without, with and without a
change; `bands`, `limits`, `view` and `ladder` say when one is due and which; `strategy` joins
them.
"""

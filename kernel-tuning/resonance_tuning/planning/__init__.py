# SPDX-License-Identifier: MIT
"""What an operator wants, as settings of this host, each with its reason.

`profiles` and `requirements` say what is wanted and of which host; `processes`, `matching` and
`groups` whom it concerns; `protection`, `placement` and `other_tuners` who is never touched,
which CPUs, who else turns the same knobs; `candidates`, `objections` and `reasons` make the
`planner`'s plan of it. Only looks.
"""

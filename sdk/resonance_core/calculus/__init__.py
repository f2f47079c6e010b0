# SPDX-License-Identifier: MIT
"""The algebra of periodic work: one circle, one maximum, one logarithm.

::

    phasor      phases on a circle: order parameters, Rayleigh's test, the workload discrepancy
    placement   where on the circle bursts queue least, and the cheapest way there
    kuramoto    coupled oscillators in closed form: when they lock, how closely
    fisher      how well a phase or a frequency can be known at all (scipy)
    trop        max-plus: products, star, cycle mean, a queue on a circle
    schedule    the longest chain of a graph of tasks
    log         log-sum-exp, Chernoff's bound, effective bandwidth
    curves      token buckets and rate-latency servers: bounds on delay and backlog
    fitting     such curves from measurements, and how often their bound failed
    deadlines   what such a bound decides: shares of a deadline, hedges, admission
    waiting     queues whose waits are known exactly
    octaves     thousands of latencies, counted by octave at once
    evt         the tail beyond what was observed (scipy)

`arguments` checks what is passed in, `descent` does the work of `placement` and `pareto` that of
`evt`. Phasors give the variance of the workload, max-plus the exact peak of the same profile, and
log-sum-exp is the bridge between a maximum and a mean. Numpy suffices for all but the two marked.
"""

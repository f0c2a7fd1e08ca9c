"""Reliability statistics: pure functions on times and counts, each with its interval. SciPy does the distributions.

    terms.py      what counts as a failure (ISO 14224), and what does not
    record.py     the stored history as the statistics take it: devices with their hours, events with their ages
    groups.py     MTBF, MTTR and availability by model, component, mode, code, site, customer, device, month
    lives.py      lives of components and devices in operating hours: failed, suspended, entered late
    analysis.py   everything that can be said of one group's lives and recurrence
    rates.py      MTBF with chi-square bounds, MTTR, availability
    weibull.py    Weibull maximum likelihood of one group; optimal replacement age
    many.py       the same fit for a thousand groups at once
    lifetimes.py  Kaplan-Meier survival, plotting positions
    growth.py     Crow-AMSAA growth of a repairable system, trend tests
    recurrence.py mean cumulative function of a repairable fleet
    pareto.py     what fails most
    reasons.py    why something cannot be told, in both languages

Times are in one unit of the caller's choice (operating hours by default). Bad input raises `kit.errors.Invalid`;
no result holds a NaN: where a bound does not exist it is None.
"""

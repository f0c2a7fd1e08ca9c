"""Reliability statistics: pure functions on times and counts, each with its interval. SciPy does the distributions.

    rates.py     MTBF with chi-square bounds, MTTR, availability
    weibull.py   Weibull maximum likelihood with right censoring; optimal replacement age
    lifetimes.py Kaplan-Meier survival
    growth.py    Crow-AMSAA growth of a repairable system, trend tests
    recurrence.py mean cumulative function of a repairable fleet
    pareto.py    what fails most

Times are in one unit of the caller's choice (operating hours by default). Bad input raises `kit.errors.Invalid`;
no result holds a NaN: where a bound does not exist it is None.
"""

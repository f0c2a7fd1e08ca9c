"""Who goes where and when: model, solvers, an independent checker, the worker that applies plans."""

"""Who goes where and when: the model, its solvers, an independent checker, and the worker that applies plans."""

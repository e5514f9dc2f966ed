"""Hyperparameter search: spaces, trials kept in a database, judging on validation paths, and what comes of the best."""

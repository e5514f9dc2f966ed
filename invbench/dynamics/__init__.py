"""The only place where stock moves: one file per kind of system, one `transition` in each."""

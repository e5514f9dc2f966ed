"""Methods, one file each: fit(problem, key, log) -> Policy. Nobody imports one by name except through config."""

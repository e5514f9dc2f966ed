"""Planning above the single period: where to build; each planner's result says status, objective, bound, gap, nodes, seconds."""

"""Demand processes, one file each: what customers ask for, drawn before anyone decides."""

"""Forecasters, one file each: what has been seen -> the distribution of lead-time demand, item by item."""

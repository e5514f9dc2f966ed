"""Judging: what a policy earned and risked, and whether the difference to another is more than chance. Knows no method."""

"""What learned methods share: networks as plain pytrees, and what they look at."""

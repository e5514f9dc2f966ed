"""Exact answers on finite state spaces: value iteration, and policies as Markov chains, straight over the dynamics."""

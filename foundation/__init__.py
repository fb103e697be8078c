"""Layer 1: configuration, environment, reproducibility, deployment discipline. Imports no other layer."""

"""Caches, a file each: what several workers must agree on for a while."""

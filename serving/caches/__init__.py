"""Caches, one file each: short-lived state that several workers share."""

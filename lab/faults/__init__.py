"""Kills, damage, full disks and leaks: trials that take minutes or hours."""

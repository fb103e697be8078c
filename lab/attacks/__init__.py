"""Attacks on a running server. `make attack` tries them all; each can show that it finds its hole opened again."""

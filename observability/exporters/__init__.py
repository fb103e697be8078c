"""Exporters of spans and metrics, a file each."""

"""Exporters of spans and metrics, one file each."""

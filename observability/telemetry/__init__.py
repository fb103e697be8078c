"""Spans, metrics and logs, without content unless that is asked for."""

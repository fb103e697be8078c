"""Layer 6: traces, metrics, evaluation, governance and business value."""

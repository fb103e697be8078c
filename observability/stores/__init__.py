"""Where spans, costs and outcomes are kept."""

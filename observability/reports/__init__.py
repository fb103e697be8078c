"""Reports for operators: layer bills, traces, failures, forecasts."""

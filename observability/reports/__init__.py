"""What operators read: bills, traces, failures, forecasts."""

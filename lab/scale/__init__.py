"""More than one machine, and what a billion passages would take."""

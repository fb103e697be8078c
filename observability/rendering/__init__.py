"""How figures look: numbers and units as text, plots as SVG."""

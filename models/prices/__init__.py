"""Sources of prices, a file each."""

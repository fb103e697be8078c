"""Sources of tools, a file each."""

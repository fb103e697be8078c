"""Views of the page, one file each."""

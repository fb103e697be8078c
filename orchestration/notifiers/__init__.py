"""Notifiers, one file each: they tell people that an approval waits."""

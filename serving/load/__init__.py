"""How the API behaves under load: `make load`. A server in a process of its own, a provider and callers in this one."""

"""What a system can have beside its six layers, one folder each. `extensions = [...]` in stack.toml turns them on; docs/extensions/index.md."""

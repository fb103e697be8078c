"""Connectors of the port `extensions.sources.contract.Connector`, one file each."""

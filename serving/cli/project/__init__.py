"""Updates of a project from its template."""

"""Code that parsers of several document formats share."""

"""What several document formats have in common."""

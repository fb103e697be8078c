"""Background jobs: many documents or questions, worked on after the request was answered."""

"""Several processes: workers on one socket, replicas on Ray."""

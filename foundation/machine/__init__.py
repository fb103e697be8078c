"""What this machine has and needs: installation, the doctor, and the manifest of a run."""
